"""Running the facade: its socket, uvicorn, and a drain on SIGTERM."""

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import structlog
import uvicorn

from gateway.app import create_app
from gateway.sending import connections
from gateway.settings import GatewaySettings
from gateway.traces.opening import open_traces
from services.rpc.channel import open_channel
from services.rpc.server import until_signal

log = structlog.get_logger()

UNIX = "unix:"
BACKLOG = 1024


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process ends with 0 after a drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to `serve`."""
        yield


def listen(address: str) -> socket.socket:
    """Opens the socket at `unix:/path`, for its owner only, or `host:port`.

    It listens at once: a path that exists but refuses would look like a dead service. Raises
    ValueError for what is no address, and OSError that names the one that cannot be had.
    """
    opened, place = _make_socket(address)
    before = os.umask(0o177)
    try:
        opened.bind(place)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise OSError(f"cannot listen on {address}: {error.strerror}") from error
    finally:
        os.umask(before)
    return opened


def _make_socket(address: str) -> tuple[socket.socket, str | tuple[str, int]]:
    if address.startswith(UNIX):
        path = address.removeprefix(UNIX)
        # Left behind by a process that was killed; a supervisor never runs two.
        Path(path).unlink(missing_ok=True)
        return socket.socket(socket.AF_UNIX), path
    host, _, port = address.rpartition(":")
    place = host.strip("[]"), int(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or event loops do not know that Nagle's algorithm is theirs to turn off.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return opened, place


async def serve(settings: GatewaySettings, opened: socket.socket) -> None:
    """Answers on an open socket until SIGTERM or SIGINT, then drains for `drain_s` at most."""
    traces, stopping = open_traces(settings), asyncio.Event()
    async with open_channel(settings.mesh_address) as channel:
        config = uvicorn.Config(
            create_app(settings, channel, traces=traces, stopping=stopping),
            http=connections(settings.send_timeout_s),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            proxy_headers=False,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=round(settings.drain_s),
        )
        server = Server(config)
        # What start-up made stays; without it, collections do not pause streams for long.
        gc.freeze()
        answering = asyncio.create_task(server.serve(sockets=[opened]))
        signalled = asyncio.create_task(until_signal())
        log.info("listening", address=settings.address)
        await asyncio.wait({answering, signalled}, return_when=asyncio.FIRST_COMPLETED)
        log.info("draining", drain_s=settings.drain_s)
        stopping.set()
        server.should_exit = True
        await answering
    if traces is not None:
        traces.close()
