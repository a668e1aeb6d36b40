"""An engine that samples as a model does, by arithmetic: each token follows from those before it.

Greedy tokens follow from prompt and answer alone, however these are split; sampled ones also from
the seed and how many were drawn; those of a format or under penalties also from how many tokens the
sequence has had. So an answer that is gone on with in a wrong way becomes a different one.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.serving.engine import SequenceRequest
from tests.fakes.engine import FakeEngine


@dataclass
class ThinkingEngine(FakeEngine):
    """Chooses from `pool`, and dies once a sequence has sampled as many tokens as the next of
    `deaths` says; then it is back at once."""

    pool: tuple[int, ...] = ()
    automatic: bool = True
    deaths: list[int] = field(default_factory=list)

    def submit(self, sequence: SequenceRequest) -> None:
        """Takes a sequence."""
        self._scripts.append(think(sequence, self.pool))  # type: ignore[arg-type]
        super().submit(sequence)

    def step(self, times: int = 1) -> None:
        """One token for each sequence, or death."""
        if self.deaths and any(one.tokens >= self.deaths[0] for one in self._active.values()):
            self.deaths.pop(0)
            self.die()
            self.become_ready()
            return
        super().step(times)


def think(sequence: SequenceRequest, pool: tuple[int, ...]) -> Iterator[int]:
    """The tokens of a sequence, without end."""
    sampling, ids = sequence.sampling, list(sequence.prompt_ids)
    anew = sequence.format is not None or sampling.presence_penalty or sampling.frequency_penalty
    drawn = 0
    while True:
        state = (
            ids,
            (sampling.seed, drawn) if sampling.temperature else (),
            drawn if anew else (),
        )
        ids.append(pool[zlib.crc32(repr(state).encode()) % len(pool)])
        drawn += 1
        yield ids[-1]
