"""An answer while it grows: drawn, spoken by sentence, stoppable, and never in the way."""

import pytest
from playwright.sync_api import expect

from .driver import ChatPage
from .wire import HeldStream, body, chunk

pytestmark = pytest.mark.stack


def test_text_is_drawn_as_it_arrives(chat: ChatPage) -> None:
    """Each piece shows before the next one is sent, and the log says that it is busy."""
    stream = HeldStream(chat.page)
    chat.write("Say it")
    expect(chat.turns.last).to_contain_text("Waiting for the first word")
    expect(chat.transcript).to_have_attribute("aria-busy", "true")
    stream.push(chunk("One **tw"))
    expect(chat.answer).to_have_text("One **tw")
    stream.push(chunk("o** three"))
    expect(chat.answer).to_have_text("One two three")
    stream.push(body([]))
    chat.settled()
    expect(chat.readout).to_contain_text("finished")


@pytest.mark.parametrize("way", ["button", "escape"])
def test_stopping_keeps_the_text_and_closes_the_request(chat: ChatPage, way: str) -> None:
    """Both ways of stopping end the answer at once and let go of the connection."""
    stream = HeldStream(chat.page)
    chat.write("Go on for ever")
    stream.push(chunk("And then"))
    expect(chat.answer).to_have_text("And then")
    if way == "button":
        chat.button("Stop (Esc)").click()
    else:
        chat.page.keyboard.press("Escape")
    chat.settled()
    expect(chat.answer).to_have_text("And then")
    expect(chat.readout).to_contain_text("stopped by you")
    expect(chat.composer).to_be_focused()
    assert stream.aborted


def test_stopping_works_before_the_first_word(chat: ChatPage) -> None:
    """An answer that has not begun can be stopped too, as when the server queues it."""
    chat.page.route("**/v1/chat/completions", lambda route: None)
    chat.write("Queue me")
    expect(chat.turns.last).to_contain_text("Waiting for the first word")
    chat.page.keyboard.press("Escape")
    expect(chat.readout).to_contain_text("stopped by you")


def test_whole_sentences_are_spoken_and_never_pieces(chat: ChatPage) -> None:
    """A screen reader hears a sentence when it ends, and the rest when the answer does."""
    spoken = chat.page.get_by_role("log", name="Spoken answers").get_by_role("paragraph")
    stream = HeldStream(chat.page)
    chat.write("Speak")
    stream.push(chunk("The first"))
    expect(chat.answer).to_have_text("The first")
    expect(spoken).to_have_count(0)
    stream.push(chunk(" is done. The second"))
    expect(spoken).to_have_text(["The first is done."])
    stream.push(body([]))
    expect(spoken).to_have_text(["The first is done.", "The second"])


def test_the_reader_who_scrolls_up_is_left_alone(chat: ChatPage) -> None:
    """The page follows the answer's foot until the reader scrolls away, and back on demand."""
    stream = HeldStream(chat.page)
    chat.write("Count")
    stream.push(chunk("\n\n".join(f"line {i}" for i in range(200))))
    last = chat.answer.get_by_text("line 199")
    expect(last).to_be_in_viewport()
    chat.transcript.hover()
    chat.page.mouse.wheel(0, -3000)
    expect(chat.button("Latest")).to_be_visible()
    stream.push(chunk("\n\nline 200"))
    expect(chat.answer).to_contain_text("line 200")
    expect(chat.answer.get_by_text("line 200")).not_to_be_in_viewport()
    chat.button("Latest").click()
    expect(chat.answer.get_by_text("line 200")).to_be_in_viewport()


def test_code_can_be_copied_without_its_frame(chat: ChatPage) -> None:
    """Copying a code block gives the code alone, and its language is shown."""
    stream = HeldStream(chat.page)
    chat.write("Code")
    stream.push(body([chunk("```python\nprint(1)\n```\n")]))
    chat.settled()
    expect(chat.page.get_by_role("group", name="Code, python")).to_be_visible()
    chat.button("Copy code").click()
    expect(chat.button("Copied")).to_be_visible()
    assert chat.page.evaluate("() => navigator.clipboard.readText()") == "print(1)"
