"""One timer bounds each of many waits."""

import asyncio

import pytest

from services.rpc.waits import Waits

pytestmark = pytest.mark.alone
# Long enough that nothing makes a short wait of a tenth too long.
BOUND_S = 0.5


async def _never() -> None:
    await asyncio.Event().wait()


async def _soon(value: str) -> str:
    await asyncio.sleep(BOUND_S / 10)
    return value


async def test_each_wait_has_the_whole_bound():
    """Many that are short enough pass, however long they are together, and give what came."""
    with Waits(BOUND_S) as waits:
        assert [await waits.wait(_soon(one)) for one in "abcdefghijkl"] == [*"abcdefghijkl"]


async def test_a_wait_that_is_too_long_ends():
    """After shorter ones too, none of which set the timer back; the task itself goes on."""
    with Waits(BOUND_S) as waits:
        await waits.wait(_soon("a"))
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await waits.wait(_never())
        assert await waits.wait(_soon("b")) == "b"
    assert asyncio.current_task().cancelling() == 0


async def test_time_between_waits_does_not_count():
    """The timer that fires meanwhile ends nothing."""
    with Waits(BOUND_S) as waits:
        await waits.wait(_soon("a"))
        await asyncio.sleep(1.5 * BOUND_S)
        assert await waits.wait(_soon("b")) == "b"


async def test_a_cancelled_task_is_cancelled():
    """Which is no TimeoutError."""
    loop = asyncio.get_running_loop()
    with Waits(BOUND_S) as waits:
        for after_s in (0.0, BOUND_S / 10):
            task = asyncio.create_task(waits.wait(_never()))
            loop.call_later(after_s, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_what_fails_fails_as_it_does():
    """An error of what is waited for passes."""

    async def fail() -> None:
        raise ValueError("mine")

    with Waits(BOUND_S) as waits, pytest.raises(ValueError, match="mine"):
        await waits.wait(fail())


async def test_another_task_may_wait_next():
    """The bound ends the wait of whoever waits now."""
    with Waits(BOUND_S) as waits:
        await asyncio.create_task(waits.wait(_soon("a")))
        with pytest.raises(TimeoutError):
            await asyncio.create_task(waits.wait(_never()))
