"""Scripted answers on the OpenAI wire, for what no real model says or suffers at will.

A fake at the network seam: the page is real, its server is real, only this one answer is not.
"""

import json
from collections.abc import Iterable

from playwright.sync_api import Page, Route

COMPLETIONS = "**/v1/chat/completions"
MODELS = "**/v1/models"
DONE = "data: [DONE]\n\n"

# Replaces the page's one streaming request by a stream that the test feeds by hand.
_HELD = """
() => {
  const held = { aborted: false };
  const real = window.fetch;
  window.fetch = async (input, init) => {
    if (!String(input).endsWith("/v1/chat/completions")) return real(input, init);
    const body = new ReadableStream({ start(controller) { held.controller = controller; } });
    init.signal.addEventListener("abort", () => {
      held.aborted = true;
      try { held.controller.error(init.signal.reason); } catch { /* it has ended */ }
    });
    held.push = (text) => held.controller.enqueue(new TextEncoder().encode(text));
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  window.held = held;
}
"""


def frame(payload: object) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(payload)}\n\n"


def chunk(text: str | None = None, finish: str | None = None) -> str:
    """One completion chunk with some text, or with the reason why the answer ended."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return frame({"id": "c1", "model": "scripted", "choices": [choice], "usage": None})


def whole(text: str, piece_chars: int = 7) -> str:
    """A whole answer, cut into small pieces as a model would."""
    pieces = (text[i : i + piece_chars] for i in range(0, len(text), piece_chars))
    return body(chunk(piece) for piece in pieces)


def body(chunks: Iterable[str]) -> str:
    """Chunks with a proper end: finish reason, usage, [DONE]."""
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    end = frame({"id": "c1", "model": "scripted", "choices": [], "usage": usage})
    return "".join(chunks) + chunk(finish="stop") + end + DONE


def answer_with(
    page: Page, body: str, status: int = 200, headers: dict[str, str] | None = None
) -> None:
    """Every completion from now on is answered with this body."""
    kind = "text/event-stream" if status == 200 else "application/json"

    def fulfil(route: Route) -> None:
        route.fulfill(status=status, body=body, headers={"content-type": kind, **(headers or {})})

    page.unroute(COMPLETIONS)
    page.route(COMPLETIONS, fulfil)


class HeldStream:
    """A completion that says exactly what the test says, when the test says it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.evaluate(_HELD)

    def push(self, text: str) -> None:
        """Waits until the page has asked, then sends a piece of the stream."""
        self._page.wait_for_function("() => Boolean(window.held.push)")
        self._page.evaluate("(text) => window.held.push(text)", text)

    def cut(self) -> None:
        """Breaks the connection."""
        self._page.evaluate("() => window.held.controller.error(new TypeError('network error'))")

    @property
    def aborted(self) -> bool:
        """True once the page has let go of the request."""
        return self._page.evaluate("() => window.held.aborted")
