"""Events of a generation as frames of an OpenAI event stream.

On the path of every token: all that is constant is encoded once, and a Delta costs one escape, two
joins and one encoding. Knows no HTTP; whether events are in order was checked before.
"""

from json.encoder import encode_basestring as quote

from parley.serving.v1 import model_serving_pb2 as pb

from gateway.shapes import FINISH_REASONS, Answer, to_json
from gateway.usage import Tally

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


class Chunks:
    """Makes the frames of one stream."""

    def __init__(self, answer: Answer, started: pb.Started, *, include_usage: bool) -> None:
        shape = answer.shape
        head = to_json(answer.head(shape.chunk_object, started))[:-1]
        self._head = f"data: {head}"
        self._tail = ',"usage":null}\n\n' if include_usage else "}\n\n"
        self._include_usage = include_usage
        self._shape = shape
        self._tally = Tally(started)
        self._logprobs = (
            [shape.logprobs() for _ in range(answer.choices)] if answer.logprobs else []
        )
        self._choices = [
            f'{self._head},"choices":[{{"index":{choice},' for choice in range(answer.choices)
        ]
        self._before = [choice + shape.chunk_opens for choice in self._choices]
        self._after = f'{shape.chunk_closes},"logprobs":null,"finish_reason":null}}]{self._tail}'

    def first(self) -> bytes:
        """Begins every choice in order, so that no client meets choice 1 before choice 0."""
        if self._shape.chunk_first is None:
            return b""
        end = f'{self._shape.chunk_first},"logprobs":null,"finish_reason":null}}]{self._tail}'
        return "".join(choice + end for choice in self._choices).encode()

    def delta(self, delta: pb.Delta) -> bytes:
        """New text; nothing where a Delta brings none."""
        if self._logprobs and delta.logprobs:
            return self._delta_with_logprobs(delta)
        if not delta.text:
            return b""
        return (self._before[delta.choice] + quote(delta.text) + self._after).encode()

    def finish(self, finished: pb.Finished) -> bytes:
        """The end of one choice."""
        self._tally.add(finished)
        reason = FINISH_REASONS[finished.reason]
        return (
            f"{self._choices[finished.choice]}{self._shape.chunk_last}"
            f',"logprobs":null,"finish_reason":"{reason}"}}]{self._tail}'
        ).encode()

    def last(self, migrations: int = 0) -> bytes:
        """The usage where it was asked for, and the stream's end."""
        if not self._include_usage:
            return DONE
        usage, timings = to_json(self._tally.usage()), to_json(self._tally.timings(migrations))
        chunk = f'{self._head},"choices":[],"usage":{usage},"parley":{timings}}}\n\n'
        return chunk.encode() + DONE

    def _delta_with_logprobs(self, delta: pb.Delta) -> bytes:
        logprobs = to_json(self._logprobs[delta.choice].render(delta.logprobs))
        return (
            f"{self._before[delta.choice]}{quote(delta.text)}{self._shape.chunk_closes}"
            f',"logprobs":{logprobs},"finish_reason":null}}]{self._tail}'
        ).encode()


def error_frame(body: bytes) -> bytes:
    """An error object as the last frame of a stream that broke; no [DONE] follows it."""
    return b"data: " + body + b"\n\n"
