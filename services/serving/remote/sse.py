"""Server-sent events out of bytes, each within a bound. Pure."""

from collections.abc import AsyncIterable, AsyncIterator

EVENT_BYTES_MAX = 1 << 20


class TooLong(Exception):
    """An event longer than anybody needs."""


async def events(chunks: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """The data of each event. Comments and other fields are left out, and so is an event that no
    blank line ends: it was cut off. Raises TooLong, and UnicodeDecodeError for what is no text."""
    rest = b""
    data: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if not line and data:
                yield b"\n".join(data).decode()
                data, size = [], 0
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
                size += len(line)
        if size + len(rest) > EVENT_BYTES_MAX:
            raise TooLong
