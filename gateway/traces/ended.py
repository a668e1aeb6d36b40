"""What a trace is made of. Knows nothing of how traces are made."""

from dataclasses import dataclass
from typing import Protocol

from parley.serving.v1 import model_serving_pb2 as pb

from gateway.generation import Generation
from gateway.shapes import Answer


@dataclass(frozen=True, slots=True)
class Ended:
    """A generation that has ended, and what it was for."""

    generation: Generation
    asked: pb.GenerateRequest
    answer: Answer
    request_id: str
    stream: bool


class Recorder(Protocol):
    """Takes generations that have ended."""

    def record(self, ended: Ended) -> None:
        """Takes one. Neither waits nor raises."""
        ...

    def close(self) -> None:
        """Sends what waits, within a bound. Blocks."""
        ...
