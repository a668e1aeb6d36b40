"""The page with the real stack behind it: sign in, ask, read, regenerate, edit, come back."""

import re

import pytest
from playwright.sync_api import expect

from .conftest import LoginUrl
from .driver import ANSWER_MS, ChatPage

pytestmark = pytest.mark.stack

CAPITAL = "What is the capital of France?"


def test_an_answer_streams_in_with_its_figures(chat: ChatPage) -> None:
    """A question is answered by the model, with model, rate, wait, length and reason below."""
    chat.ask(CAPITAL)
    expect(chat.answer).to_contain_text("Paris")
    for figure in (r"\d tok/s", r"to first token", r"\d+ tokens?", "finished"):
        expect(chat.readout).to_contain_text(re.compile(figure))
    model = chat.page.get_by_role("combobox", name="Model").input_value()
    expect(chat.readout).to_contain_text(model)


def test_a_suggestion_asks_its_question(chat: ChatPage) -> None:
    """An empty conversation offers questions, and pressing one asks it."""
    chat.page.get_by_role("list", name="Suggestions").get_by_role("button").first.click()
    chat.settled()
    expect(chat.turns).to_have_count(1)
    expect(chat.answer).not_to_be_empty()
    expect(chat.composer).to_be_focused()


def test_regenerating_keeps_the_alternatives(chat: ChatPage) -> None:
    """Each new answer is added, counted, and the earlier ones can be gone back to."""
    chat.ask(CAPITAL)
    for count in (2, 3):
        chat.button("Answer again").click()
        expect(chat.turns.last).to_contain_text(f"{count} / {count}")
        chat.settled()
    chat.button("Previous answer").click()
    expect(chat.turns.last).to_contain_text("2 / 3")
    expect(chat.answer).not_to_be_empty()
    expect(chat.turns).to_have_count(1)


def test_an_edited_message_replaces_the_last_one(chat: ChatPage) -> None:
    """Editing takes the message back into the composer; sending it starts the turn anew."""
    chat.ask("What is 3 plus 4?")
    chat.button("Edit message").click()
    expect(chat.composer).to_have_value("What is 3 plus 4?")
    chat.write(CAPITAL)
    expect(chat.turns.last).to_contain_text(CAPITAL)
    chat.settled()
    expect(chat.turns).to_have_count(1)
    expect(chat.answer).to_contain_text("Paris")


def test_a_reload_keeps_the_conversation(chat: ChatPage) -> None:
    """What was said is there again after a reload, with its figures."""
    chat.ask(CAPITAL)
    said = chat.transcript.inner_text()
    chat.page.reload()
    expect(chat.composer).to_be_focused()
    assert chat.transcript.inner_text() == said


def test_a_new_chat_is_empty_and_stays_so(chat: ChatPage) -> None:
    """New chat forgets the conversation, also for the next visit."""
    chat.ask(CAPITAL)
    chat.button("New chat").click()
    expect(chat.turns).to_have_count(0)
    chat.page.reload()
    expect(chat.page.get_by_role("list", name="Suggestions")).to_be_visible()


def test_an_answer_can_be_copied(chat: ChatPage) -> None:
    """The clipboard holds the answer's text after pressing copy."""
    chat.ask(CAPITAL)
    chat.button("Copy answer").click()
    expect(chat.button("Copied")).to_be_visible()
    assert "Paris" in chat.page.evaluate("() => navigator.clipboard.readText()")


def test_settings_reach_the_server(chat: ChatPage) -> None:
    """A limit of one token ends the answer at one token, and the page says why."""
    chat.button("Settings of this chat").click()
    chat.page.get_by_label("Longest answer").fill("1")
    chat.button("Done").click()
    chat.ask(CAPITAL)
    expect(chat.readout).to_contain_text("1 token")
    expect(chat.readout).to_contain_text("reached the token limit")


@pytest.mark.parametrize("paste", ["token", "link"])
def test_a_stranger_is_asked_to_sign_in(
    stranger: ChatPage, login_url: LoginUrl, paste: str
) -> None:
    """Without a session the page shows the card; a wrong token is refused, a right one opens."""
    link = login_url()
    address, _, token = link.partition("/login?token=")
    page = stranger.page
    page.goto(address)
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    field.fill("wrong")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not accepted")
    field.fill(link if paste == "link" else token)
    field.press("Enter")
    expect(stranger.composer).to_be_focused(timeout=ANSWER_MS)
    expect(field).to_be_hidden()


def test_a_link_works_once_and_says_so(stranger: ChatPage, login_url: LoginUrl) -> None:
    """A second visit by the same link asks for a new token, and the address is clean again."""
    url = login_url()
    stranger.open(url)
    stranger.page.context.clear_cookies()
    stranger.page.goto(url)
    expect(stranger.page.get_by_role("alert")).to_contain_text("That link no longer works")
    assert "?" not in stranger.page.url


def test_the_token_does_not_stay_in_the_address(chat: ChatPage) -> None:
    """After signing in by link, neither address nor storage nor script can see the secret."""
    assert "token" not in chat.page.url
    assert chat.page.evaluate("() => document.cookie") == ""
    stored = chat.page.evaluate("() => JSON.stringify({ ...localStorage, ...sessionStorage })")
    assert "token=" not in stored
