"""The fault proxy between a client and an echo, all on the loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bench.chaos.proxy import FaultProxy, opened

WAIT_S = 10.0
BIG = bytes(range(256)) * 8192
Opens = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    """The echo's address."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.close()


@pytest.fixture
async def proxy(upstream: str) -> AsyncIterator[FaultProxy]:
    """A proxy on a port of its own."""
    made = FaultProxy("127.0.0.1:0", upstream)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def connect(proxy: FaultProxy) -> AsyncIterator[Opens]:
    """Opens connections to the proxy, and closes them."""
    writers: list[asyncio.StreamWriter] = []

    async def open_one() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = proxy.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writers.append(writer)
        return reader, writer

    yield open_one
    for writer in writers:
        writer.transport.abort()


async def _said(reader: asyncio.StreamReader, count: int) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await reader.readexactly(count)


async def test_bytes_pass_unchanged_and_ends_pass_on(connect: Opens):
    """Two MiB there and back, then an end that is heard on the other side."""
    reader, writer = await connect()
    sending = asyncio.create_task(writer.drain())
    writer.write(BIG)
    assert await _said(reader, len(BIG)) == BIG
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    await sending


async def test_a_black_hole_swallows_and_keeps_connections(proxy: FaultProxy, connect: Opens):
    """Old connections stay open and silent, new ones open; healed, those that lost bytes are reset
    and others live."""
    lost_reader, lost = await connect()
    idle_reader, idle = await connect()
    for reader, writer in ((lost_reader, lost), (idle_reader, idle)):
        writer.write(b"before")
        assert await _said(reader, 6) == b"before"
    proxy.black_hole()
    new_reader, new = await connect()
    lost.write(b"lost")
    new.write(b"new")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lost_reader.read(1), 0.2)
    async with asyncio.timeout(WAIT_S):
        while proxy.links < 3:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
    assert proxy.links == 3
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(lost_reader.read(1), WAIT_S)
    idle.write(b"after")
    assert await _said(idle_reader, 5) == b"after"
    assert await _said(new_reader, 3) == b"new"


async def test_a_hang_up_in_a_black_hole_is_not_told(proxy: FaultProxy, connect: Opens):
    """The half-open connection behind it lives until the hole is gone."""
    reader, writer = await connect()
    writer.write(b"x")
    assert await _said(reader, 1) == b"x"
    proxy.black_hole()
    writer.transport.abort()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await _until_no_link(proxy)
    proxy.heal()
    async with asyncio.timeout(WAIT_S):
        await _until_no_link(proxy)


async def test_a_reset_is_a_reset_and_new_connections_are_taken(proxy: FaultProxy, connect: Opens):
    """Both ends hear of it at once."""
    reader, writer = await connect()
    writer.write(b"x")
    assert await _said(reader, 1) == b"x"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), WAIT_S)
    reader, writer = await connect()
    writer.write(b"again")
    assert await _said(reader, 5) == b"again"


async def test_delayed_bytes_come_late_and_in_order(proxy: FaultProxy, connect: Opens):
    """With a jitter that is larger than the distance between pieces; healed, they come at once."""
    reader, writer = await connect()
    proxy.delay(0.1, 0.05)
    now_s = asyncio.get_running_loop().time
    began_s = now_s()
    wanted = b""
    for number in range(20):
        wanted += bytes([number]) * 100
        writer.write(bytes([number]) * 100)
        await writer.drain()
    assert await _said(reader, len(wanted)) == wanted
    # There and back, each at least 50 ms.
    assert now_s() - began_s >= 0.1


async def test_a_dead_upstream_ends_the_connection(upstream: str):
    """Nobody waits for a replica that is not there."""
    made = FaultProxy("127.0.0.1:0", "127.0.0.1:1")
    await made.start()
    host, _, port = made.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(1), WAIT_S) == b""
    writer.transport.abort()
    await made.close()


async def test_a_thread_of_proxies_listens_on_unix_sockets(tmp_path: Path, upstream: str):
    """As a stack has them: opened before it starts, told by name from another thread."""
    path = tmp_path / "serving-0.sock"
    with opened([("serving-0", f"unix:{path}", upstream)]) as proxies:
        assert path.stat().st_mode & 0o077 == 0
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"x")
        assert await _said(reader, 1) == b"x"
        await asyncio.to_thread(proxies.tell, "serving-0", "reset")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(1), WAIT_S) == b""
        writer.transport.abort()
        with pytest.raises(KeyError):
            proxies.tell("serving-9", "reset")


async def _until_no_link(proxy: FaultProxy) -> None:
    while proxy.links:  # noqa: ASYNC110 (not our event)
        await asyncio.sleep(0.01)
