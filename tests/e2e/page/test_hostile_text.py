"""Model output is hostile: nothing in it runs, loads, or passes for a part of the page."""

import json

import pytest
from playwright.sync_api import expect

from .conftest import LoginUrl
from .corpus import HOSTILE
from .driver import ChatPage
from .wire import answer_with, whole

pytestmark = pytest.mark.stack

_TRAP = """
window.runs = 0;
window.ran = window.alert = () => { window.runs += 1; };
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""

# What is left of an answer that must not be there: unknown elements, handlers, bad addresses.
_REMAINS = """
() => [...document.querySelectorAll(".prose .block *")].filter((element) => {
  if (element.closest(".code-bar")) return false;
  const known = "A P BR HR STRONG EM DEL CODE PRE BLOCKQUOTE UL OL LI H3 H4 H5 H6 TABLE THEAD " +
    "TBODY TR TH TD SPAN DIV";
  if (!known.split(" ").includes(element.tagName)) return true;
  if (element.tagName === "A" && element.hasAttribute("href")) {
    const safe = /^(https?|mailto):/.test(element.getAttribute("href"));
    return !safe || element.rel !== "noopener noreferrer" || element.target !== "_blank";
  }
  return ["id", "name", "style", "src", "href"].some((name) => element.hasAttribute(name)) ||
    [...element.attributes].some((attribute) => attribute.name.startsWith("on"));
}).map((element) => element.outerHTML)
"""


@pytest.fixture
def trapped(stranger: ChatPage, login_url: LoginUrl) -> ChatPage:
    """A signed-in page that counts whatever runs."""
    stranger.page.add_init_script(_TRAP)
    return stranger.open(login_url())


def _untouched(chat: ChatPage) -> None:
    assert chat.page.evaluate("() => window.runs") == 0
    assert chat.page.evaluate("() => window.violations") == []
    assert chat.page.evaluate(_REMAINS) == []
    assert chat.foreign_requests() == []


def test_no_hostile_answer_runs_or_loads_anything(trapped: ChatPage) -> None:
    """Each payload, streamed in small pieces, leaves no script, no request and no element."""
    for payload in HOSTILE:
        answer_with(trapped.page, whole(payload, piece_chars=5))
        trapped.button("New chat").click()
        trapped.ask("Attack")
        expect(trapped.problem).to_be_hidden()
        _untouched(trapped)


def test_hostile_answers_survive_a_reload_as_text(trapped: ChatPage) -> None:
    """All payloads in one answer, drawn again from the browser's storage, still do nothing."""
    answer_with(trapped.page, whole("\n\n".join(HOSTILE), piece_chars=50))
    trapped.ask("Attack")
    trapped.page.reload()
    expect(trapped.turns).to_have_count(1)
    expect(trapped.composer).to_be_focused()
    _untouched(trapped)


def test_html_in_an_answer_is_shown_as_text(trapped: ChatPage) -> None:
    """A reader sees the markup that a model wrote, rather than a hole."""
    answer_with(trapped.page, whole("Write <b onclick=ran()>bold</b> text."))
    trapped.ask("How?")
    expect(trapped.answer).to_have_text("Write <b onclick=ran()>bold</b> text.")


def test_an_image_becomes_a_link(trapped: ChatPage) -> None:
    """A remote image is not loaded; its description links to it."""
    answer_with(trapped.page, whole("![a cat](https://evil.example/cat.png)"))
    trapped.ask("Show me")
    link = trapped.answer.get_by_role("link", name="a cat")
    expect(link).to_have_attribute("href", "https://evil.example/cat.png")
    _untouched(trapped)


def test_hostile_questions_and_errors_are_text(trapped: ChatPage) -> None:
    """What the person writes, and what the server says of a failure, is never markup."""
    attack = "<img src=https://evil.example/x onerror=ran()>"
    error = {"error": {"message": attack, "code": attack}}
    answer_with(trapped.page, json.dumps(error), 400, {"x-request-id": "<b>id</b>"})
    trapped.ask(attack)
    expect(trapped.turns.last.locator(".bubble")).to_have_text(attack)
    expect(trapped.problem).to_contain_text(attack)
    expect(trapped.problem).to_contain_text("<b>id</b>")
    assert trapped.turns.last.locator("img, b").count() == 0
    _untouched(trapped)


def test_the_policy_forbids_html_sinks(trapped: ChatPage) -> None:
    """The second wall stands: no string becomes markup, and no other policy can be made."""
    done = trapped.page.evaluate("""
    () => {
      const done = [];
      try { document.body.innerHTML = "<b>x</b>"; done.push("innerHTML"); } catch { /* good */ }
      try { trustedTypes.createPolicy("other", {}); done.push("policy"); } catch { /* good */ }
      return done;
    }
    """)
    assert done == []


def test_the_policy_forbids_foreign_images(trapped: ChatPage) -> None:
    """The second wall stands: an image that got in would not be asked for."""
    with trapped.page.expect_event("requestfailed") as failed:
        trapped.page.evaluate("""
        () => {
          const image = document.createElement("img");
          image.src = "https://evil.example/pixel.png";
          document.body.append(image);
        }
        """)
    assert failed.value.failure == "csp"
    # The attempt was this test's own, so it does not count against the page.
    trapped.requested.remove(failed.value.url)
