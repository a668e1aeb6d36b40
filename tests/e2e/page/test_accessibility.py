"""WCAG 2.2 AA by axe-core in every state, both themes, wide and at 360 px; reflow at 320 px."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import LoginUrl
from .corpus import LONG_ANSWER
from .driver import ChatPage
from .wire import HeldStream, answer_with, body, chunk, whole

pytestmark = pytest.mark.stack

AXE = Path(__file__).parents[3] / "chat" / "node_modules" / "axe-core" / "axe.min.js"
# The rule for targets of 24 px is part of WCAG 2.2 AA but off by default.
OPTIONS = {"rules": {"target-size": {"enabled": True}}, "resultTypes": ["violations"]}

# Every part of the page that must fit; code and tables may scroll, but within their own frames.
_SIDEWAYS = """
() => [...document.querySelectorAll("html, main > *, .turn, .block, dialog[open]")]
  .filter((part) => part.scrollWidth > part.clientWidth && part.checkVisibility())
  .map((part) => part.className || part.tagName)
"""


def _violations(page: Page) -> list[dict[str, Any]]:
    """What axe finds, as rule and elements."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE.read_text())
    found = page.evaluate("(options) => window.axe.run(document, options)", OPTIONS)
    return [
        {"rule": rule["id"], "nodes": [node["html"] for node in rule["nodes"]]}
        for rule in found["violations"]
    ]


def assert_clean(page: Page, state: str) -> None:
    """No violation, and nothing that makes the page scroll sideways."""
    assert _violations(page) == [], state
    assert page.evaluate(_SIDEWAYS) == [], f"{state} scrolls sideways"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360, 320])
def test_no_violation_in_any_state(
    browser: Browser, login_url: LoginUrl, scheme: Any, width: int
) -> None:
    """Sign-in, welcome, waiting, long answer, editing, failure, settings and help are all clean."""
    size = {"width": width, "height": 740}
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    chat = ChatPage(context.new_page())
    try:
        _walk(chat, login_url())
    finally:
        context.close()


def _walk(chat: ChatPage, url: str) -> None:
    page = chat.page
    page.goto(url.partition("/login")[0])
    expect(page.get_by_label("Token")).to_be_focused()
    assert_clean(page, "sign-in")
    chat.open(url)
    assert_clean(page, "welcome")
    _walk_answers(chat)
    _walk_dialogs(chat)


def _walk_answers(chat: ChatPage) -> None:
    page = chat.page
    answer_with(page, whole(LONG_ANSWER))
    chat.ask("Tell me")
    chat.button("Answer again").click()
    chat.settled()
    expect(chat.answer.locator(".hljs-keyword").first).to_be_attached()
    assert_clean(page, "long answer")
    page.keyboard.press("Control+ArrowUp")
    assert_clean(page, "editing")
    page.keyboard.press("Escape")
    error = {"error": {"message": "The queue is full"}}
    answer_with(page, json.dumps(error), 429, {"retry-after": "90", "x-request-id": "req-1"})
    chat.ask("Why?")
    assert_clean(page, "failure")
    page.unroute_all()
    stream = HeldStream(page)
    chat.write("Wait")
    stream.push(chunk("So"))
    expect(chat.answer).to_have_text("So")
    assert_clean(page, "streaming")
    stream.push(body([]))
    chat.settled()


def _walk_dialogs(chat: ChatPage) -> None:
    chat.button("Settings of this chat").click()
    assert_clean(chat.page, "settings")
    chat.page.keyboard.press("Escape")
    chat.page.keyboard.press("Control+/")
    assert_clean(chat.page, "help")


def test_axe_sees_a_fault(chat: ChatPage) -> None:
    """The check can fail: a button without a name is found."""
    chat.page.evaluate("() => document.body.append(document.createElement('button'))")
    assert "button-name" in {found["rule"] for found in _violations(chat.page)}
