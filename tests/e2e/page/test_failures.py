"""Every way an answer can fail: said clearly, with the text kept and a way to try again."""

import json

import pytest
from playwright.sync_api import expect

from .driver import ChatPage
from .wire import MODELS, HeldStream, answer_with, chunk, frame, whole

pytestmark = pytest.mark.stack


def _error(message: str, code: str) -> dict[str, object]:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


def test_an_error_frame_keeps_the_text_and_offers_a_retry(chat: ChatPage) -> None:
    """An error in mid-stream shows the server's words; trying again adds a whole answer."""
    error = frame(_error("The engine was restarted", "engine_lost"))
    answer_with(chat.page, chunk("Half an") + error, headers={"x-request-id": "req-7"})
    chat.ask("Why?")
    expect(chat.answer).to_have_text("Half an")
    expect(chat.problem).to_contain_text("The engine was restarted")
    expect(chat.problem).to_contain_text("req-7")
    answer_with(chat.page, whole("A whole answer."))
    chat.button("Try again").click()
    expect(chat.answer).to_have_text("A whole answer.")
    expect(chat.turns.last).to_contain_text("2 / 2")


@pytest.mark.parametrize("end", ["", "data: [DONE]\n\n"], ids=["no end", "done alone"])
def test_a_truncated_answer_is_not_taken_for_a_whole_one(chat: ChatPage, end: str) -> None:
    """A stream that ends without a finish reason is shown as cut short, with its text."""
    answer_with(chat.page, chunk("Half an") + end)
    chat.ask("Why?")
    expect(chat.answer).to_have_text("Half an")
    expect(chat.problem).to_contain_text("cut short")
    expect(chat.button("Try again")).to_be_enabled()


def test_a_broken_connection_is_a_truncation_too(chat: ChatPage) -> None:
    """A connection that breaks in mid-stream is shown as cut short, with its text."""
    stream = HeldStream(chat.page)
    chat.write("Why?")
    stream.push(chunk("Half an"))
    expect(chat.answer).to_have_text("Half an")
    stream.cut()
    expect(chat.problem).to_contain_text("cut short")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_when_to_try_again(chat: ChatPage, status: int) -> None:
    """Retry-After counts down, and the button waits for it."""
    body = json.dumps(_error("The queue is full", "rate_limit_exceeded"))
    answer_with(chat.page, body, status, {"retry-after": "5"})
    chat.ask("Why?")
    expect(chat.problem).to_contain_text("The queue is full.")
    expect(chat.problem).to_contain_text("You can try again in")
    expect(chat.button("Try again")).to_be_disabled()
    expect(chat.button("Try again")).to_be_enabled()
    expect(chat.problem).not_to_contain_text("You can try again in")


def test_a_refused_request_names_what_was_wrong(chat: ChatPage) -> None:
    """A 400 shows the server's words about the parameter."""
    answer_with(chat.page, json.dumps(_error("temperature is too high", "bad")), 400)
    chat.ask("Why?")
    expect(chat.problem).to_contain_text("The request was refused")
    expect(chat.problem).to_contain_text("temperature is too high.")


def test_a_server_that_is_gone_is_said_to_be(chat: ChatPage) -> None:
    """No connection at all says so, and names the command that helps."""
    chat.page.route("**/v1/chat/completions", lambda route: route.abort())
    chat.ask("Why?")
    expect(chat.problem).to_contain_text("cannot be reached")
    expect(chat.problem).to_contain_text("./parley status")


def test_a_page_that_came_too_early_finds_the_model_by_itself(chat: ChatPage) -> None:
    """It says why nobody answers, and goes on looking; then one can write, and it is announced."""
    told = json.dumps(_error("No model can answer now", "service_unavailable"))
    chat.page.route(MODELS, lambda route: route.fulfill(status=503, body=told))
    chat.page.reload()
    notice = chat.page.locator(".notice")
    expect(notice).to_contain_text("Parley is not ready. No model can answer now.")
    expect(notice).to_contain_text("keeps looking")
    chat.page.unroute(MODELS)
    expect(notice).to_be_empty()
    expect(chat.page.get_by_text("A model is ready.")).to_be_attached()
    chat.ask("Why?")
    expect(chat.answer).not_to_be_empty()


def test_a_lost_session_asks_to_sign_in_and_keeps_the_conversation(chat: ChatPage) -> None:
    """A 401 in the middle of a conversation brings the card, and nothing is lost."""
    answer_with(chat.page, json.dumps(_error("Sign in", "invalid_api_key")), 401)
    chat.write("Why?")
    expect(chat.page.get_by_label("Token")).to_be_focused()
    chat.page.unroute("**/v1/chat/completions")
    chat.page.reload()
    expect(chat.turns.last).to_contain_text("Why?")
    expect(chat.button("Try again")).to_be_enabled()


def test_a_reload_in_mid_answer_keeps_what_had_come(chat: ChatPage) -> None:
    """Reloading while an answer streams keeps its text and offers to try again."""
    stream = HeldStream(chat.page)
    chat.write("Why?")
    stream.push(chunk("Half an"))
    expect(chat.answer).to_have_text("Half an")
    chat.page.reload()
    expect(chat.answer).to_have_text("Half an")
    expect(chat.problem).to_contain_text("reloaded")
