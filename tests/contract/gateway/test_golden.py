"""One stream, byte by byte."""

from pathlib import Path

from tests.fakes.facade import Facade, running

GOLDEN = Path(__file__).parents[2] / "data" / "chat_stream.golden"


async def test_stream_is_the_golden_one(settings_with) -> None:
    """Two choices, a split character, quotes, logprobs left out, usage: not one byte moves."""
    parts = {"clock": lambda: 1_800_000_000.9, "make_id": lambda: "0" * 32}
    async with running(settings_with(), **parts) as facade:
        assert await _transcript(facade) == GOLDEN.read_text(encoding="utf-8")


async def _transcript(facade: Facade) -> str:
    facade.serving.script.tokens = [b'Say "', b"\xe2\x82", b"\xac", b'"\n', b"\\"]
    reply = await facade.post(n=2, stream=True, stream_options={"include_usage": True})
    return reply.text
