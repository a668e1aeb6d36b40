"""Thumbs under an answer: nothing is sent before it is said, and no written word is lost."""

import json
from typing import Any

import pytest
from parley.jobs.v1 import feedback_pb2 as pb
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.contract.page.conftest import Stage
from tests.e2e.page.driver import ChatPage
from tests.e2e.page.test_accessibility import assert_clean

pytestmark = pytest.mark.slow

FEEDBACK = "**/api/v1/feedback"


def _form(chat: ChatPage, name: str = "Bad answer") -> Locator:
    return chat.page.get_by_role("form", name=name)


def _entries(stage: Stage) -> list[pb.FeedbackEntry]:
    return stage.do(lambda: list(stage.facade.feedback.entries.values()))


def test_word_on_an_answer_goes_with_its_conversation(chat: ChatPage, stage: Stage) -> None:
    """Up to that answer; who runs this Parley is said to get it; the thumb stays pressed."""
    chat.ask("First?")
    chat.ask("Second?")
    first = chat.turns.first
    first.get_by_role("button", name="Bad answer").click()
    expect(_form(chat)).to_contain_text("to whoever runs this Parley")
    assert not [url for url in chat.requested if "feedback" in url]
    _form(chat).get_by_label("A better answer").fill("Hello, sailor!")
    _form(chat).get_by_label("Why").fill("more of the sea")
    chat.button("Send").click()
    thumb = first.get_by_role("button", name="Bad answer")
    expect(thumb).to_have_attribute("aria-pressed", "true")
    expect(_form(chat)).to_be_hidden()
    (entry,) = _entries(stage)
    assert (entry.rating, entry.correction) == (pb.RATING_BAD, "Hello, sailor!")
    assert entry.reason == "more of the sea"
    said = [(turn.role, turn.content) for turn in entry.conversation]
    assert said == [("user", "First?"), ("assistant", "Hello, world!")]
    chat.page.reload()
    expect(thumb).to_have_attribute("aria-pressed", "true")


def test_later_word_takes_the_place_of_the_earlier(chat: ChatPage, stage: Stage) -> None:
    """With the words of before to go on from."""
    chat.ask("Well?")
    for name, words in (("Bad answer", "So so."), ("Good answer", "")):
        chat.button(name).click()
        better = chat.page.get_by_label("A better answer")
        expect(better).to_have_value("So so." if name == "Good answer" else "")
        better.fill(words)
        chat.button("Send").click()
        expect(chat.button(name)).to_have_attribute("aria-pressed", "true")
    expect(chat.button("Bad answer")).to_have_attribute("aria-pressed", "false")
    (entry,) = _entries(stage)
    assert (entry.rating, entry.correction) == (pb.RATING_GOOD, "")


def test_all_of_it_goes_by_keyboard(chat: ChatPage, stage: Stage) -> None:
    """Focus goes into the form and comes back; Esc closes it, and keeps the answer streaming."""
    chat.ask("Well?")
    thumb = chat.button("Good answer")
    thumb.focus()
    chat.page.keyboard.press("Enter")
    better = chat.page.get_by_label("A better answer")
    expect(better).to_be_focused()
    expect(thumb).to_have_attribute("aria-expanded", "true")
    chat.page.keyboard.press("Escape")
    expect(better).to_be_hidden()
    expect(thumb).to_be_focused()
    chat.page.keyboard.press("Enter")
    chat.page.keyboard.press("Tab")
    expect(chat.page.get_by_label("Why")).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(thumb).to_be_focused()
    expect(chat.page.get_by_role("log", name="Spoken answers")).to_contain_text("was sent")
    assert len(_entries(stage)) == 1


@pytest.mark.parametrize(
    ("status", "words"), [(503, "Feedback is away."), (0, "Parley cannot be reached")]
)
def test_failed_send_says_so_and_keeps_the_words(
    chat: ChatPage, stage: Stage, status: int, words: str
) -> None:
    """The same words go at the next try."""

    def fail(route: Route) -> None:
        problem = {"title": "Not available now", "status": status, "detail": "Feedback is away."}
        kind = "application/problem+json"
        route.fulfill(status=status, body=json.dumps(problem), content_type=kind)

    chat.ask("Well?")
    chat.page.route(FEEDBACK, fail if status else lambda route: route.abort())
    chat.button("Bad answer").click()
    chat.page.get_by_label("A better answer").fill("Words that took long.")
    chat.button("Send").click()
    expect(_form(chat).get_by_role("alert")).to_contain_text("It was not sent.")
    expect(_form(chat).get_by_role("alert")).to_contain_text(words)
    expect(chat.page.get_by_label("A better answer")).to_have_value("Words that took long.")
    expect(chat.button("Bad answer")).to_have_attribute("aria-pressed", "false")
    chat.page.unroute(FEEDBACK)
    chat.button("Send").click()
    expect(_form(chat)).to_be_hidden()
    assert _entries(stage)[0].correction == "Words that took long."


def test_lost_session_keeps_the_words_too(chat: ChatPage) -> None:
    """They are there again once the person has signed in."""
    chat.ask("Well?")
    chat.page.route(FEEDBACK, lambda route: route.fulfill(status=401, body="{}"))
    chat.button("Bad answer").click()
    chat.page.get_by_label("Why").fill("Long words.")
    chat.button("Send").click()
    expect(chat.page.get_by_label("Token")).to_be_focused()
    expect(chat.page.get_by_label("Why")).to_have_value("Long words.")


def test_what_the_model_was_told_first_goes_along(chat: ChatPage, stage: Stage) -> None:
    """As it was when it answered, whatever the settings say by now."""
    chat.button("Settings of this chat").click()
    chat.page.get_by_label("System prompt").fill("Be kind.")
    chat.page.keyboard.press("Escape")
    chat.ask("Well?")
    chat.button("Settings of this chat").click()
    chat.page.get_by_label("System prompt").fill("Be brief.")
    chat.page.keyboard.press("Escape")
    chat.button("Good answer").click()
    chat.button("Send").click()
    expect(_form(chat, "Good answer")).to_be_hidden()
    first = _entries(stage)[0].conversation[0]
    assert (first.role, first.content) == ("system", "Be kind.")


def test_answer_that_never_began_cannot_be_judged(chat: ChatPage) -> None:
    """There is nothing to judge, and nothing to name it by."""
    chat.page.route("**/v1/chat/completions", lambda route: route.abort())
    chat.ask("Well?")
    expect(chat.problem).to_be_visible()
    expect(chat.page.get_by_role("button", name="Good answer")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360, 320])
def test_panel_has_no_violation(browser: Browser, stage: Stage, scheme: Any, width: int) -> None:
    """Closed, open, failed and sent, in both themes and at every width."""
    size = {"width": width, "height": 740}
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    try:
        _walk(ChatPage(context.new_page()).open(stage.facade.url))
    finally:
        context.close()


def _walk(chat: ChatPage) -> None:
    page: Page = chat.page
    chat.ask("Well?")
    assert_clean(page, "thumbs")
    chat.button("Bad answer").click()
    assert_clean(page, "panel")
    page.route(FEEDBACK, lambda route: route.abort())
    chat.button("Send").click()
    expect(page.get_by_role("alert").filter(has_text="It was not sent.")).to_be_visible()
    assert_clean(page, "not sent")
    page.unroute(FEEDBACK)
    chat.button("Send").click()
    expect(chat.button("Bad answer")).to_have_attribute("aria-pressed", "true")
    assert_clean(page, "sent")
