"""A proxy between Envoy and a replica that listens on loopback TCP, and does harm when it is told.

Knows bytes and connections, nothing of what they carry.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

UNIX = "unix:"
PIECE_BYTES = 64 << 10
PIECES_MAX = 256
"""How many pieces of one direction may be on their way, so that a slow reader is felt."""
CALL_S_MAX = 10.0
_NO_LINGER = struct.pack("ii", 1, 0)
T = TypeVar("T")


class Link:
    """One connection and the one behind it."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        # Whether bytes of it were lost: it can never be right again.
        self.lost = False

    def reset(self) -> None:
        """Ends both connections at once, with a reset where there is such a thing."""
        for writer in self.writers:
            opened = writer.get_extra_info("socket")
            # One that is closed already has no number any more.
            if opened is not None and opened.fileno() >= 0 and opened.family == socket.AF_INET:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()


class FaultProxy:
    """Passes bytes on, until it is told not to. All methods belong to one event loop.

    Args:
        listen: `unix:/path`, `127.0.0.1:port`, or a socket that listens already.
        upstream: `127.0.0.1:port`.
    """

    def __init__(self, listen: str | socket.socket, upstream: str, seed: int = 0) -> None:
        self._listen = listen
        host, _, port = upstream.rpartition(":")
        self._upstream = host, int(port)
        self._chance = random.Random(seed)
        self._links: set[Link] = set()
        self._delay_s = self._jitter_s = 0.0
        self._passes = asyncio.Event()
        self._passes.set()

    @property
    def links(self) -> int:
        """How many connections there are."""
        return len(self._links)

    async def start(self) -> None:
        """Opens its address. Raises OSError."""
        if isinstance(self._listen, socket.socket):
            self._server = await asyncio.start_server(self._serve, sock=self._listen)
        elif self._listen.startswith(UNIX):
            path = self._listen.removeprefix(UNIX)
            self._server = await asyncio.start_unix_server(self._serve, path)
            Path(path).chmod(0o600)  # noqa: ASYNC240 (at start-up, once)
        else:
            host, _, port = self._listen.rpartition(":")
            self._server = await asyncio.start_server(self._serve, host, int(port))

    @property
    def address(self) -> str:
        """Where it listens; the port that it got where it was to take any."""
        if isinstance(self._listen, str) and self._listen.startswith(UNIX):
            return self._listen
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def close(self) -> None:
        """Ends all connections and stops listening."""
        self._server.close()
        self.reset()
        self._passes.set()
        await self._server.wait_closed()

    def black_hole(self) -> None:
        """From now on, swallows all bytes of both directions, also the ends of connections."""
        self._passes.clear()

    def delay(self, seconds: float, jitter_s: float = 0.0) -> None:
        """From now on, hands each piece on so much later, more or less `jitter_s`, in order."""
        self._delay_s, self._jitter_s = seconds, jitter_s

    def reset(self) -> None:
        """Resets the connections that there are; new ones are taken."""
        for link in tuple(self._links):
            link.reset()

    def heal(self) -> None:
        """Passes all bytes on again. Connections that lost some are reset."""
        self._delay_s = self._jitter_s = 0.0
        for link in tuple(self._links):
            if link.lost:
                link.reset()
        self._passes.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link()
        link.writers.append(writer)
        self._links.add(link)
        try:
            # A connection begins in the kernel, whoever answers: in a hole it is open, and silent.
            await self._passes.wait()
            behind, onward = await asyncio.open_connection(*self._upstream)
            link.writers.append(onward)
            await asyncio.gather(
                self._carry(link, reader, onward), self._carry(link, behind, writer)
            )
        except OSError:
            pass
        finally:
            self._links.discard(link)
            link.reset()

    async def _carry(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One direction, to its end; the other may go on."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_MAX)
        await asyncio.gather(self._take(link, reader, pieces), self._hand_on(pieces, writer))

    async def _take(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        pieces: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        now_s = asyncio.get_running_loop().time
        piece = b"?"
        while piece:
            try:
                piece = await reader.read(PIECE_BYTES)
            except OSError:
                piece = b""
            if not self._passes.is_set():
                link.lost = True
                if piece:
                    continue
                await self._passes.wait()
            late_s = self._delay_s and max(
                self._delay_s + self._chance.uniform(-self._jitter_s, self._jitter_s), 0.0
            )
            await pieces.put((now_s() + late_s, piece))

    async def _hand_on(
        self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        now_s = asyncio.get_running_loop().time
        while True:
            due_s, piece = await pieces.get()
            if (wait_s := due_s - now_s()) > 0:
                await asyncio.sleep(wait_s)
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()


class ProxyThread:
    """Proxies on an event loop of their own, for as long as a stack starts, runs and stops."""

    def __init__(self, proxies: dict[str, FaultProxy]) -> None:
        self._proxies = proxies
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def tell(self, name: str, what: str, *arguments: float) -> None:
        """Calls a method of the proxy of that name. Raises KeyError for a replica without one."""

        async def call() -> None:
            getattr(self._proxies[name], what)(*arguments)

        self._run(call())

    def _run(self, coroutine: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_S_MAX)

    def open(self) -> None:
        """Starts all. Raises OSError."""
        self._thread.start()
        for proxy in self._proxies.values():
            self._run(proxy.start())

    def close(self) -> None:
        """Ends all."""
        for proxy in self._proxies.values():
            self._run(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S_MAX)
        self._loop.close()


@contextlib.contextmanager
def opened(pairs: Sequence[tuple[str, str | socket.socket, str]]) -> Iterator[ProxyThread]:
    """Proxies for (name, listen, upstream), opened."""
    found = ProxyThread({name: FaultProxy(listen, up) for name, listen, up in pairs})
    found.open()
    try:
        yield found
    finally:
        found.close()
