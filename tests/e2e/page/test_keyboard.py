"""The whole page without a mouse."""

import pytest
from playwright.sync_api import expect

from .driver import ChatPage
from .wire import HeldStream, answer_with, chunk, whole

pytestmark = pytest.mark.stack


def test_a_conversation_by_keyboard_alone(chat: ChatPage) -> None:
    """Write, break the line, send, edit the last message, leave editing: focus never moves."""
    answer_with(chat.page, whole("Yes."))
    keys = chat.page.keyboard
    keys.type("One")
    keys.press("Shift+Enter")
    keys.type("two")
    keys.press("Enter")
    expect(chat.answer).to_have_text("Yes.")
    expect(chat.turns.last.locator(".bubble")).to_have_text("One\ntwo")
    keys.type("a draft")
    keys.press("Control+ArrowUp")
    expect(chat.composer).to_have_value("One\ntwo")
    keys.press("Escape")
    expect(chat.composer).to_have_value("a draft")
    expect(chat.composer).to_be_focused()


def test_enter_waits_while_an_answer_is_in_the_making(chat: ChatPage) -> None:
    """A message written during an answer stays in the composer until it can be sent."""
    stream = HeldStream(chat.page)
    chat.write("First")
    stream.push(chunk("Well"))
    chat.write("Second")
    expect(chat.composer).to_have_value("Second")
    expect(chat.turns).to_have_count(1)


@pytest.mark.parametrize("key", ["Control+/", "?"])
def test_help_opens_and_gives_the_focus_back(chat: ChatPage, key: str) -> None:
    """The list of keys opens by key and closes by Esc, back to where the person was."""
    if key == "?":
        chat.button("New chat").focus()
    chat.page.keyboard.press(key)
    dialog = chat.page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Ctrl + ↑")
    chat.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(chat.button("New chat") if key == "?" else chat.composer).to_be_focused()


def test_a_question_mark_can_be_written(chat: ChatPage) -> None:
    """In the composer a question mark is a question mark."""
    chat.page.keyboard.press("?")
    expect(chat.composer).to_have_value("?")
    expect(chat.page.get_by_role("dialog")).to_have_count(0)


def test_tab_reaches_every_control(chat: ChatPage) -> None:
    """Every button, list and field of a page with an answer is reached by Tab."""
    answer_with(chat.page, whole("```bash\nls\n```\n\nDone."))
    chat.ask("Show me")
    names = set()
    for _ in range(40):
        chat.page.keyboard.press("Tab")
        names.add(
            chat.page.evaluate("() => document.activeElement.getAttribute('aria-label') ?? ''")
        )
    wanted = {"Model", "New chat", "Settings of this chat", "Keys (?)", "Message", "Edit message"}
    wanted |= {"Copy message", "Copy code", "Copy answer", "Answer again", "Conversation"}
    assert wanted <= names


def test_the_theme_is_kept(chat: ChatPage) -> None:
    """A chosen theme shows at once and is there before the first paint of the next visit."""
    theme = "() => document.documentElement.dataset.theme"
    chat.button("Theme: system. Change to light").press("Enter")
    chat.button("Theme: light. Change to dark").press("Enter")
    assert chat.page.evaluate(theme) == "dark"
    chat.page.reload()
    assert chat.page.evaluate(theme) == "dark"
    ground = chat.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(16, 21, 20)"
