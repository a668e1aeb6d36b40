"""What an answer took: OpenAI's usage, and Parley's timings beside it.

Counts no token: the numbers are the engine's own.
"""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from parley.serving.v1 import model_serving_pb2 as pb


class Tally:
    """Gathers what the Finished of every choice reports."""

    def __init__(self, started: pb.Started) -> None:
        self._started = started
        self._prompt_tokens = started.prompt_tokens
        self._completion_tokens = 0
        self._queue_s = 0.0
        self._first_token_s: float | None = None
        self._total_s = 0.0

    def add(self, finished: pb.Finished) -> None:
        """Takes one choice's usage and timings."""
        timings = finished.timings
        first_s = _seconds(timings.first_token_duration)
        # Behind a remote server nobody knows it before the end.
        self._prompt_tokens = self._prompt_tokens or finished.usage.prompt_tokens
        self._completion_tokens += finished.usage.completion_tokens
        self._queue_s = max(self._queue_s, _seconds(timings.queue_duration))
        self._total_s = max(self._total_s, _seconds(timings.total_duration))
        self._first_token_s = min(first_s, self._first_token_s or first_s)

    def usage(self) -> dict[str, int]:
        """Tokens of the prompt, counted once, and of all choices together."""
        prompt_tokens = self._prompt_tokens
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": self._completion_tokens,
            "total_tokens": prompt_tokens + self._completion_tokens,
        }

    def timings(self, migrations: int = 0) -> dict[str, Any]:
        """Times in milliseconds on the replica's clock, from admission.

        `generation_ms` is from the start of work to the end; the rate is over all choices in it. Of
        an answer that has migrated, the times are the facade's and `queue_ms` the last replica's.
        """
        generation_s = max(self._total_s - self._queue_s, 0.0)
        rate = self._completion_tokens / generation_s if generation_s else 0.0
        return {
            "model_version": self._started.version,
            "time_to_first_token_ms": _milliseconds(self._first_token_s or 0.0),
            "generation_ms": _milliseconds(generation_s),
            "queue_ms": _milliseconds(self._queue_s),
            "tokens_per_second": round(rate, 2),
            **({"migrations": migrations} if migrations else {}),
        }


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
