"""The keeping of the engine's process, with workers that misbehave in known ways."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import uvloop

from services.serving.engine import (
    Death,
    Format,
    Listener,
    Load,
    Progress,
    Sampling,
    SequenceRequest,
)
from services.serving.engine_process import DEATHS_TO_FAIL, EngineProcess

WORKER = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))
WAIT_S = 30
STALL_S = 2.0


@dataclass
class Told:
    """What the listener heard."""

    engine: EngineProcess
    ready: int = 0
    progress: list[Progress] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    async def until(self, holds: Callable[["Told"], object]) -> None:
        """Waits for something to be true."""
        async with asyncio.timeout(WAIT_S):
            while not holds(self):  # noqa: ASYNC110 (what is waited for tells nobody)
                await asyncio.sleep(0.002)


@asynccontextmanager
async def engine(do: str, **changes: object) -> AsyncIterator[Told]:
    """Runs an engine process whose worker does one thing."""
    options = {"stall_s_min": STALL_S, "load_timeout_s": 10, "worker": WORKER, **changes}
    process = EngineProcess({"do": do}, **options)
    told = Told(process)

    def on_ready() -> None:
        told.ready += 1

    lists = told.deaths, told.refused, told.lost
    process.start(Listener(told.progress.extend, on_ready, *(each.append for each in lists)))
    try:
        yield told
    finally:
        await process.close()


def sequence(number: int, tokens: int = 1, form: Format | None = None) -> SequenceRequest:
    """A sequence with a prompt of some length."""
    return SequenceRequest(number, [100_000] * tokens, 4, Sampling(), format=form)


async def test_tokens_come_to_the_listener():
    """A sequence is answered, and the engine owes nothing then."""
    async with engine("echo") as told:
        await told.until(lambda told: told.ready)
        told.engine.submit(sequence(1))
        await told.until(lambda told: told.progress)
        assert told.progress == [Progress(1, [7], [], "length")]
        assert told.engine.load == Load(0, 0.0)


async def test_what_began_again_is_counted_through_a_death():
    """The count is the replica's; how busy the engine was is not."""
    async with engine("preempt") as told:
        for deaths in (0, 1):
            await told.until(lambda told, ready=deaths + 1: told.ready == ready)
            assert told.engine.load == Load(preemptions=3 * deaths)
            told.engine.submit(sequence(2 * deaths + 1))
            await told.until(lambda told, rows=deaths + 1: len(told.progress) == rows)
            assert told.engine.load == Load(1, 0.5, waiting=2, preemptions=3 * deaths + 3)
            told.engine.submit(sequence(2 * deaths + 2))
            await told.until(lambda told, dead=deaths + 1: len(told.deaths) == dead)


@pytest.mark.slow
async def test_an_engine_that_keeps_dying_is_given_up_on():
    """Some deaths in a row make it failed, and each is told; the last says that it is final."""
    async with engine("exit_at_once") as told:
        await told.until(lambda told: len(told.deaths) == DEATHS_TO_FAIL)
        assert [death.final for death in told.deaths] == [False] * (DEATHS_TO_FAIL - 1) + [True]
        assert told.engine.failed
        assert told.engine.restarts == DEATHS_TO_FAIL


@pytest.mark.slow
async def test_a_failed_engine_that_comes_up_is_no_longer_failed(tmp_path: Path):
    """Nobody is refused for what is over."""
    script = tmp_path / "worker.py"
    script.write_text("")
    async with engine("echo", worker=(sys.executable, str(script))) as told:
        await told.until(lambda told: told.engine.failed)
        script.write_text(Path(WORKER[1]).read_text())  # noqa: ASYNC240 (a test, and a small file)
        await told.until(lambda told: told.ready)
        assert not told.engine.failed


@pytest.mark.parametrize("do", ["die_at_first", "babble", "say_nothing"])
async def test_whatever_goes_wrong_the_engine_is_replaced(do: str):
    """Death, nonsense and silence all end in a new worker, and in word of the loss."""
    async with engine(do) as told:
        await told.until(lambda told: told.ready)
        old = told.engine.pid
        told.engine.submit(sequence(1))
        await told.until(lambda told: told.deaths)
        assert told.deaths == [Death(None, False)]
        await told.until(lambda told: told.ready == 2)
        assert told.engine.pid != old
        assert not psutil.pid_exists(old)


def test_what_comes_as_the_engine_dies_is_lost_with_the_rest():
    """From the death on, at every turn of the loop until it is heard of; on the loop that replicas
    have, whose pipes raise once they are closed."""
    uvloop.run(_submit_until_its_death())


async def _submit_until_its_death() -> None:
    async with engine("echo") as told:
        await told.until(lambda told: told.ready)
        psutil.Process(told.engine.pid).kill()
        async with asyncio.timeout(WAIT_S):
            while not told.deaths:
                told.engine.submit(sequence(1))
                await asyncio.sleep(0)
        await told.until(lambda told: told.ready == 2)
        told.engine.submit(sequence(2))
        await told.until(lambda told: told.progress and told.progress[-1].id == 2)


async def test_silence_of_an_engine_without_work_is_no_stall():
    """Only who owes a word is stuck; and then it is noticed soon."""
    async with engine("say_nothing") as told:
        await told.until(lambda told: told.ready)
        await asyncio.sleep(3 * STALL_S)
        assert not told.deaths
        told.engine.submit(sequence(1))
        submitted_s = time.monotonic()
        await told.until(lambda told: told.deaths)
        assert time.monotonic() - submitted_s > STALL_S * 0.9


async def test_an_engine_that_does_not_load_is_started_again():
    """Loading has a bound of its own."""
    async with engine("time", load_timeout_s=0.5) as told:
        await told.until(lambda told: told.deaths)
        assert not told.ready


async def test_prompts_of_any_size_do_not_hold_up_the_loop():
    """While the worker takes nothing in, the replica goes on."""
    async with engine("say_nothing", stall_s_min=10) as told:
        await told.until(lambda told: told.ready)
        longest_s = 0.0
        for number in range(1, 9):
            started_s = time.monotonic()
            told.engine.submit(sequence(number, tokens=131_072))
            longest_s = max(longest_s, time.monotonic() - started_s)
            await asyncio.sleep(0)
        assert longest_s < 5, "the worker takes nothing in for ten"


async def test_a_replica_that_is_held_up_loses_nothing():
    """A worker that is faster than its reader waits, and every token arrives in order."""
    async with engine("flood") as told:
        await told.until(lambda told: told.ready)
        told.engine.submit(sequence(1))
        await told.until(lambda told: told.progress)
        time.sleep(2 * STALL_S)  # noqa: ASYNC251 (what is tested)
        await told.until(lambda told: told.progress[-1].finish)
        assert [row.token_ids[0] for row in told.progress] == list(range(20_000))
        assert not told.deaths


async def test_the_format_that_broke_the_engine_is_named():
    """And no other, though others had been sent."""
    formats = [Format(f"root ::= {name}") for name in "abc"]
    async with engine("die_at_second_format") as told:
        await told.until(lambda told: told.ready)
        for number, form in enumerate(formats, 1):
            told.engine.submit(sequence(number, form=form))
        await told.until(lambda told: told.deaths)
        assert told.deaths == [Death(culprit=2, final=False)]


@pytest.mark.parametrize(
    ("do", "refused", "lost", "progress"), [("refuse", [5], [], []), ("lose", [], [5], [5])]
)
async def test_a_sequence_that_fails_is_named(
    do: str, refused: list[int], lost: list[int], progress: list[int]
):
    """One that is not taken, or that cannot be gone on with after what came of it; and nothing
    else happens."""
    async with engine(do) as told:
        await told.until(lambda told: told.ready)
        told.engine.submit(sequence(5))
        await told.until(lambda told: told.refused or told.lost)
        assert (told.refused, told.lost) == (refused, lost)
        assert [row.id for row in told.progress] == progress
        assert not told.deaths


async def test_what_was_cancelled_is_never_heard_of():
    """Not even if its token was on the way."""
    async with engine("echo") as told:
        await told.until(lambda told: told.ready)
        told.engine.submit(sequence(1))
        told.engine.cancel(1)
        told.engine.cancel(1)
        told.engine.submit(sequence(2))
        await told.until(lambda told: told.progress)
        assert [row.id for row in told.progress] == [2]


async def test_a_listener_that_fails_does_not_leave_the_replica_without_an_engine():
    """Our own mistakes cost a restart, and are not passed over."""
    process = EngineProcess({"do": "echo"}, stall_s_min=1, load_timeout_s=10, worker=WORKER)
    heard: list[str] = []

    def fail(_: object) -> None:
        heard.append("progress")
        raise ZeroDivisionError

    process.start(
        Listener(fail, lambda: heard.append("ready"), lambda _: heard.append("death"), fail, fail)
    )
    try:
        async with asyncio.timeout(WAIT_S):
            while heard.count("ready") < 2:
                if "progress" not in heard and process.ready:
                    process.submit(sequence(len(heard)))
                await asyncio.sleep(0.01)
    finally:
        await process.close()
    assert heard == ["ready", "progress", "death", "ready"]


@pytest.mark.parametrize("do", ["echo", "exit_at_once", "say_nothing"])
async def test_closing_leaves_nothing_behind(do: str):
    """No process, no task, and no word to the listener."""
    async with engine(do) as told:
        if do != "exit_at_once":
            await told.until(lambda told: told.ready)
        else:
            await told.until(lambda told: told.deaths)
        pid, deaths = told.engine.pid, len(told.deaths)
    assert pid is None or not psutil.pid_exists(pid)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(told.deaths) == deaths
