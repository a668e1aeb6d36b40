"""How much room an answer should have to grow before another one starts: what it costs, in steps.

Plays mixtures of answers through the worker's own rule for room (`services/serving/sequences.py`),
without an engine: each step brings each sequence a token, and who made way begins at its first
one again. Prints, for growths of 0 to 8 blocks, the steps it took, how many sequences made way, and
tokens sampled for one that a reader got. Run it with `python -m bench.preemption`.
"""

import random
from dataclasses import dataclass

from services.serving.sequences import Room, Sequence

GROWTHS = (0, 1, 2, 3, 4, 6, 8)
RUNNING_MAX = 64
SEED = 1


@dataclass(frozen=True)
class Mixture:
    """So many answers in a cache of so many blocks; ranges of tokens."""

    blocks: int
    answers: int
    prompt_tokens: tuple[int, int]
    answer_tokens: tuple[int, int]

    def sequences(self) -> list[Sequence]:
        """The same ones each time."""
        chance = random.Random(SEED)
        return [
            Sequence(
                [0] * chance.randint(*self.prompt_tokens),
                {"max_new_tokens": chance.randint(*self.answer_tokens)},
                made_again=True,
            )
            for _ in range(self.answers)
        ]


MIXTURES = (
    Mixture(60, 64, (20, 300), (10, 500)),
    Mixture(120, 64, (20, 60), (50, 300)),
    Mixture(120, 64, (20, 60), (280, 300)),
    Mixture(400, 200, (20, 60), (50, 300)),
    Mixture(400, 200, (200, 600), (50, 300)),
    Mixture(1000, 200, (20, 60), (200, 1000)),
)


def play(mixture: Mixture, growth: int) -> tuple[int, int, float]:
    """Returns the steps, how many made way, and tokens sampled for each that was wanted."""
    room = Room(mixture.blocks, growth)
    waiting, live = mixture.sequences(), list[Sequence]()
    wanted = sum(one.options["max_new_tokens"] for one in waiting)
    steps = sampled = made_way = 0
    while waiting or live:
        while waiting and len(live) < RUNNING_MAX and room.admits(waiting[0], live, 0):
            live.append(waiting.pop(0))
            live[-1].begin(None)
        steps += 1
        sampled += len(live)
        for one in live:
            one.take([0], [])
        live = [one for one in live if not _is_over(one)]
        while not room.holds(live):
            waiting.insert(0, live.pop())
            waiting[0].make_way()
            made_way += 1
    return steps, made_way, sampled / wanted


def _is_over(sequence: Sequence) -> bool:
    return sequence.length - len(sequence.prompt_ids) == sequence.options["max_new_tokens"]


def main() -> None:
    """Plays all of it; takes seconds."""
    for mixture in MIXTURES:
        print(mixture)
        for growth in GROWTHS:
            steps, made_way, share = play(mixture, growth)
            print(f"  {growth} blocks: {steps:5} steps, {made_way:4} made way, {share:.2f} sampled")


if __name__ == "__main__":
    main()
