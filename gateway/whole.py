"""Events of a generation as one OpenAI answer, for clients that do not stream."""

from typing import Any

from parley.serving.v1 import model_serving_pb2 as pb

from gateway.generation import Generation
from gateway.shapes import FINISH_REASONS, Answer, to_json
from gateway.usage import Tally


async def collect(generation: Generation, answer: Answer) -> bytes:
    """Reads a generation to its end and encodes the answer. Raises ParleyError; cancel-safe."""
    started = await generation.begin()
    tally = Tally(started)
    choices = [_Choice() for _ in range(answer.choices)]
    while not generation.done:
        event = await generation.read()
        if event.HasField("delta"):
            choices[event.delta.choice].add(event.delta)
        else:
            tally.add(event.finished)
            choices[event.finished.choice].reason = FINISH_REASONS[event.finished.reason]
    whole = {
        **answer.head(answer.shape.whole_object, started),
        "choices": [choice.render(index, answer) for index, choice in enumerate(choices)],
        "usage": tally.usage(),
        "parley": tally.timings(len(generation.migrations)),
    }
    return to_json(whole).encode()


class _Choice:
    """One choice while it grows."""

    def __init__(self) -> None:
        self.reason = ""
        self._texts: list[str] = []
        self._logprobs: list[pb.TokenLogprob] = []

    def add(self, delta: pb.Delta) -> None:
        self._texts.append(delta.text)
        self._logprobs.extend(delta.logprobs)

    def render(self, index: int, answer: Answer) -> dict[str, Any]:
        shape = answer.shape
        logprobs = shape.logprobs().render(self._logprobs) if answer.logprobs else None
        return {
            "index": index,
            **shape.content("".join(self._texts)),
            "logprobs": logprobs,
            "finish_reason": self.reason,
        }
