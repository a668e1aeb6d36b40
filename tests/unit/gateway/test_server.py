"""The socket that the facade listens on."""

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from gateway.server import listen


async def test_accepted_connection_sends_without_delay() -> None:
    """With Nagle's algorithm, a token would wait 40 ms for the one before it."""
    accepted: asyncio.Queue[socket.socket] = asyncio.Queue()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        delay = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        accepted.put_nowait(delay)
        writer.close()

    opened = listen("127.0.0.1:0")
    async with await asyncio.start_server(accept, sock=opened):
        _, writer = await asyncio.open_connection(*opened.getsockname())
        assert await accepted.get()
        writer.close()
        await writer.wait_closed()


def test_unix_socket_is_its_owners_only(tmp_path: Path) -> None:
    """And answers as soon as its path is there, also over one that was left behind."""
    path = tmp_path / "g.sock"
    for _ in range(2):
        with listen(f"unix:{path}"), socket.socket(socket.AF_UNIX) as client:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            client.connect(str(path))


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_address_of_either_family_is_understood(address: str) -> None:
    """Host and port, IPv6 in brackets."""
    with listen(address) as opened:
        assert opened.getsockname()[1] > 0


@pytest.mark.parametrize("address", ["127.0.0.1:port", "nowhere", "unix:/nowhere/at/all.sock"])
def test_address_that_is_none_is_an_error(address: str) -> None:
    """ValueError or OSError, which end the process with a line of words."""
    with pytest.raises((ValueError, OSError)):
        listen(address).close()


def test_taken_address_is_named() -> None:
    """The words say which one, so that a person can look who has it."""
    with listen("127.0.0.1:0") as first:
        address = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(OSError, match=f"cannot listen on {address}"):
            listen(address)
