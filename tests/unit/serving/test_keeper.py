"""What is loaded follows what is wanted, whatever happens meanwhile."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from services.serving.admission import Limits
from services.serving.keeper import Keeper
from services.serving.replica import Replica
from services.serving.routing import Phase
from services.serving.wanted import Table
from tests.fakes.model import write_model
from tests.fakes.source import FakeLoader, FakeSource, key, table

NUMBERS = range(1, 5)
STEPS = 60
# It takes milliseconds; a thread measures each version, so that turns of the loop say little.
CALM_S = 20
LIMITS = Limits(running_max=2, sequences_max=8, tokens_max=2000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model folder."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


class Storm:
    """A keeper to whom things happen in an order that a seed gives."""

    def __init__(self, folder: Path, dice: random.Random, budget: int | None) -> None:
        self.dice = dice
        self.replica, self.source = Replica(), FakeSource(folder)
        self.loader = FakeLoader(LIMITS)
        self.keeper = Keeper(
            self.replica,
            self.source,
            self.loader,
            budget_bytes=budget,
            unload_s=0,
            retry_s_min=0,
        )
        self.keeper.start(lambda: None)
        self.told: Table | None = None

    def tell(self, revision: int) -> None:
        """A new champion, with or without somebody beside it."""
        one, two, three = self.dice.sample(NUMBERS, 3)
        routes = self.dice.choice([{one: 100}, {one: 60, two: 40}])
        standby = [two] if self.dice.random() < 0.6 and two not in routes else []
        mirror = self.dice.choice([0, three])
        self.told = table(routes, standby=standby, mirror=mirror, revision=revision)
        self.source.tell(self.told)

    def happen(self, step: int) -> None:
        """One thing happens."""
        number = self.dice.choice(NUMBERS)
        engine = self.loader.engines.get(key(number))
        match self.dice.randrange(5):
            case 0:
                self.tell(step)
            case 1:
                self.source.broken[key(number)] = "gone"
            case 2:
                self.source.broken.pop(key(number), None)
            case 3 if engine and engine._listener and not engine.ready:
                engine.failed = False
                engine.become_ready()
            case 4 if engine and engine._listener:
                engine.die(final=self.dice.random() < 0.3)

    async def calm(self) -> None:
        """Everything that can be well is well from now on; returns when the told table counts."""
        self.source.broken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(CALM_S):
                while not self.settled():
                    self._mend()
                    await asyncio.sleep(0)
        assert self.settled(), f"stuck: {self.replica.phases} for {self.told}"

    def _mend(self) -> None:
        for engine in self.loader.engines.values():
            if engine._listener and not engine.ready:
                engine.failed = False
                engine.become_ready()

    def settled(self) -> bool:
        """Whether everything wanted is ready, and nothing else is there."""
        wanted = {version.key for version in self.told.versions}
        phases = self.replica.phases
        return (
            self.replica.tables == {"tiny": self.told}
            and set(self.replica.versions) == wanted
            and all(phases[one] is Phase.READY for one in wanted)
        )


@pytest.mark.parametrize("budget", [None, 4, 5])
async def test_whatever_happens_the_last_state_is_reached(folder, budget):
    """States come thick and fast, files cannot be had, engines die and do not come up. Once that
    has an end, exactly what is wanted is loaded, and the requests go where they should."""
    for seed in range(20):
        dice = random.Random(seed)
        storm = Storm(folder, dice, budget)
        while storm.source._on_state is None:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0)
        storm.tell(0)
        for step in range(1, STEPS):
            storm.happen(step)
            for _ in range(dice.randrange(30)):
                await asyncio.sleep(0)
        await storm.calm()
        assert storm.replica.serving
        await storm.keeper.close()
