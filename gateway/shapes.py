"""What tells Chat Completions from Completions in an answer; the rest they share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from parley.serving.v1 import model_serving_pb2 as pb

from gateway.identity import answer_id, fingerprint
from gateway.logprobs import ChatLogprobs, Logprobs, TextLogprobs

FINISH_REASONS = {pb.FINISH_REASON_STOP: "stop", pb.FINISH_REASON_LENGTH: "length"}


@dataclass(frozen=True, slots=True)
class Shape:
    """One endpoint's words. `chunk_*` are JSON text, for chunks are put together as text."""

    id_prefix: str
    whole_object: str
    chunk_object: str
    # Around the text of a chunk's choice.
    chunk_opens: str
    chunk_closes: str
    # A choice's beginning, where there is one, and its end, which has no text.
    chunk_first: str | None
    chunk_last: str
    # The text of a whole answer's choice.
    content: Callable[[str], dict[str, Any]]
    logprobs: type[Logprobs]


CHAT = Shape(
    id_prefix="chatcmpl-",
    whole_object="chat.completion",
    chunk_object="chat.completion.chunk",
    chunk_opens='"delta":{"content":',
    chunk_closes="}",
    chunk_first='"delta":{"role":"assistant","content":""}',
    chunk_last='"delta":{}',
    content=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    logprobs=ChatLogprobs,
)

COMPLETION = Shape(
    id_prefix="cmpl-",
    whole_object="text_completion",
    chunk_object="text_completion",
    chunk_opens='"text":',
    chunk_closes="",
    chunk_first=None,
    chunk_last='"text":""',
    content=lambda text: {"text": text},
    logprobs=TextLogprobs,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer before it starts.

    `unique` is the part of its id that no other has; `created` is in seconds since the epoch.
    """

    shape: Shape
    unique: str
    created: int
    choices: int
    logprobs: bool

    def id(self, started: pb.Started) -> str:
        """The answer's id, which is known once it has started."""
        return answer_id(self.shape.id_prefix, started, self.unique)

    def head(self, kind: str, started: pb.Started) -> dict[str, Any]:
        """The fields that begin the whole answer and each of its chunks."""
        return {
            "id": self.id(started),
            "object": kind,
            "created": self.created,
            "model": started.model,
            "system_fingerprint": fingerprint(started),
        }


def to_json(value: Any) -> str:
    """Compact JSON; characters outside ASCII stay as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
