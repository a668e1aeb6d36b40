"""A conversation in the terminal, over the OpenAI wire like any other client.

Knows the edge's address and key; knows no service behind it. What the model writes is shown as
text: control characters, which could command the terminal, are taken out.
"""

import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Self

import httpx

from stack.errors import StackError
from stack.words import CONTROL, print_json, talk

CONNECT_WITHIN_S = 5.0
SILENCE_S_MAX = 600.0
KEY_BYTES = 16


@dataclass
class Answer:
    """One answer as it came: times in seconds, tokens as the server counted them."""

    text: str = ""
    finish_reason: str = ""
    tokens: int = 0
    first_token_s: float = 0.0
    total_s: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        """Speed over the whole answer, the wait for its first token included."""
        return self.tokens / self.total_s if self.total_s else 0.0


class Chat:
    """The turns so far, and the connection."""

    def __init__(self, base_url: str, api_key: str, model: str | None = None) -> None:
        headers = {"authorization": f"Bearer {api_key}"}
        timeout = httpx.Timeout(SILENCE_S_MAX, connect=CONNECT_WITHIN_S)
        self._client = httpx.Client(
            base_url=base_url, headers=headers, timeout=timeout, trust_env=False
        )
        self._messages: list[dict[str, str]] = []
        # By it the server finds what it computed of the turns before.
        self._key = secrets.token_urlsafe(KEY_BYTES)
        self.model = model or self._first_model()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, question: str, answer: Answer) -> Iterator[str]:
        """Yields the pieces of the answer as they come, and fills `answer`.

        A turn that ends early, by Ctrl-C too, stays in the conversation as far as it came; one that
        fails before its first piece leaves the conversation as it was. Raises StackError.
        """
        self._messages.append({"role": "user", "content": question})
        began = time.monotonic()
        try:
            for event in self._events():
                answer.total_s = time.monotonic() - began
                piece = _take(event, answer)
                if piece and not answer.text:
                    answer.first_token_s = answer.total_s
                answer.text += piece
                yield piece.translate(CONTROL)
        finally:
            if answer.text:
                self._messages.append({"role": "assistant", "content": answer.text})
            else:
                self._messages.pop()

    def _events(self) -> Iterator[dict[str, Any]]:
        body = {
            "model": self.model,
            "messages": self._messages,
            "prompt_cache_key": self._key,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            with self._client.stream("POST", "/chat/completions", json=body) as response:
                if response.status_code != httpx.codes.OK:
                    raise _refusal(response.read(), response.status_code)
                yield from _sse(response.iter_lines())
        except httpx.HTTPError as error:
            raise _unreachable(error) from None

    def _first_model(self) -> str:
        try:
            response = self._client.get("/models")
        except httpx.HTTPError as error:
            raise _unreachable(error) from None
        if response.status_code != httpx.codes.OK:
            raise _refusal(response.content, response.status_code)
        models = response.json()["data"]
        if not models:
            raise StackError("No model is served.", mend="See: ./parley status")
        return str(models[0]["id"])


def ask_once(chat: Chat, question: str, as_json: bool) -> None:
    """One question, one answer: text to stdout, or all of it as JSON."""
    answer = Answer()
    for piece in chat.ask(question, answer):
        if not as_json:
            sys.stdout.write(piece)
            sys.stdout.flush()
    if as_json:
        speed = {"tokens_per_s": round(answer.tokens_per_s, 1)}
        print_json({"model": chat.model, **asdict(answer), **speed})
    else:
        sys.stdout.write("\n")
        _show_speed(answer)


def converse(chat: Chat) -> None:
    """Turn by turn until Ctrl-D."""
    with suppress(ImportError):
        import readline  # noqa: F401 (input() gains editing and history by it)
    talk.print(f"{chat.model}. [dim]Ctrl-C stops an answer, Ctrl-D leaves.[/]")
    while True:
        try:
            question = input("\n> ").strip()
        except EOFError:
            talk.print()
            return
        except KeyboardInterrupt:
            talk.print("\n[dim]Ctrl-D leaves.[/]")
            continue
        if question:
            _turn(chat, question)


def _turn(chat: Chat, question: str) -> None:
    answer = Answer()
    pieces = chat.ask(question, answer)
    try:
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
    except KeyboardInterrupt:
        pieces.close()
        talk.print("\n[dim]stopped[/]")
    except StackError as error:
        talk.print(f"\n[red]{error.what}[/] {error.mend}", markup=True)
        return
    _show_speed(answer)


def _show_speed(answer: Answer) -> None:
    if not talk.is_terminal or not answer.text:
        return
    parts = [f"first token {answer.first_token_s * 1000:.0f} ms"]
    if answer.tokens_per_s:
        parts.insert(0, f"{answer.tokens_per_s:.0f} tok/s")
    if answer.finish_reason not in ("", "stop"):
        parts.append(f"ended by {answer.finish_reason}")
    talk.print(f"[dim]{' · '.join(parts)}[/]")


def _sse(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Events of a stream. Raises StackError for an error event and for a cut stream."""
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        event = json.loads(data)
        if "error" in event:
            raise StackError(f"{event['error'].get('message', 'The answer failed.')}")
        yield event
    raise StackError("The answer was cut off.", mend="See: ./parley status")


def _take(event: dict[str, Any], answer: Answer) -> str:
    if usage := event.get("usage"):
        answer.tokens = usage["completion_tokens"]
    if not event.get("choices"):
        return ""
    choice = event["choices"][0]
    answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
    return choice["delta"].get("content") or ""


def _refusal(body: bytes, status: int) -> StackError:
    try:
        message = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"Parley answered {status}."
    return StackError(message)


def _unreachable(error: httpx.HTTPError) -> StackError:
    return StackError(
        f"Parley could not be reached ({type(error).__name__}).", mend="See: ./parley status"
    )
