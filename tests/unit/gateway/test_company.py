"""Who breaks a stream's silence, and when."""

import asyncio

from gateway.company import Company

OFTEN_S, NEVER_S = 0.01, 3600.0


class Speaker:
    """What is said, for as long as a test wants it to take."""

    def __init__(self) -> None:
        self.times = 0
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def speak(self) -> None:
        """Speaks until it may end."""
        self.times += 1
        self.begun.set()
        await self.may_end.wait()


async def spoken(times: int) -> None:
    """Returns when another one, to whom nobody speaks, has spoken so often."""
    left, over = times, asyncio.Event()

    async def speak() -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set()

    company = Company(speak, first_s=0, every_s=OFTEN_S)
    await over.wait()
    company.close()


async def test_speaks_again_and_again_while_nobody_else_does():
    """Once is not enough for a silence that goes on."""
    async with asyncio.timeout(10):
        await spoken(3)


async def test_says_one_thing_at_a_time():
    """A reader who is slow to take the one is not sent the next."""
    speaker = Speaker()
    company = Company(speaker.speak, first_s=0, every_s=OFTEN_S)
    await speaker.begun.wait()
    await spoken(5)
    assert speaker.times == 1
    company.close()


async def test_others_wait_until_it_has_spoken():
    """Headers that are on their way come before what follows them."""
    speaker = Speaker()
    company = Company(speaker.speak, first_s=0, every_s=NEVER_S)
    await company.quiet()  # nothing is being said yet
    await speaker.begun.wait()
    waiting = asyncio.ensure_future(company.quiet())
    await asyncio.sleep(0)
    assert not waiting.done()
    speaker.may_end.set()
    await waiting
    company.close()


async def test_what_was_said_puts_off_what_it_would_say():
    """Only silence is broken."""
    speaker = Speaker()
    company = Company(speaker.speak, first_s=OFTEN_S, every_s=NEVER_S)
    company.said()
    await spoken(5)
    assert speaker.times == 0
    company.close()


async def test_says_nothing_after_its_end():
    """Not even what it was about to say."""
    speaker = Speaker()
    company = Company(speaker.speak, first_s=0, every_s=OFTEN_S)
    company.close()
    company.close()
    await spoken(5)
    assert speaker.times == 0
