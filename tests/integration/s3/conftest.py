"""One running S3 server of each kind for all tests, and one that a test may stop."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from minio import Minio

from services.objects import s3_credentials
from services.objects.object_store import S3ObjectStore
from tests.integration.s3 import builds, servers

# A server reads a file of 32 MiB whole to answer for it, on a busy machine.
CALL_S = 10.0


@contextmanager
def running(program: servers.Program, home: Path) -> Iterator[servers.Server]:
    """A server with its bucket; gone with all it stored at the end."""
    server = servers.Server.new(program, home)
    try:
        server.start()
        client = Minio(
            f"127.0.0.1:{server.port}",
            access_key=server.keys.access_key,
            secret_key=server.keys.secret_key,
            secure=False,
            region="us-east-1",
        )
        client.make_bucket(servers.BUCKET)
        yield server
    finally:
        server.remove()


def rclone() -> servers.Program:
    """The rclone of this environment."""
    path = shutil.which("rclone", path=str(Path(sys.executable).parent))
    assert path, "the environment has no rclone"
    return servers.rclone(path)


def program(kind: str) -> servers.Program:
    """How to run a kind of server, which may have to be built first."""
    if kind == "minio":
        return servers.minio(builds.built(builds.MINIO))
    if kind == "versitygw":
        return servers.versitygw(builds.built(builds.VERSITYGW))
    return rclone()


@pytest.fixture(scope="session")
def server_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], servers.Server]]:
    """Gives the running server of a kind; each is started once."""
    started: dict[str, servers.Server] = {}
    with ExitStack() as stack:

        def get(kind: str) -> servers.Server:
            if kind not in started:
                home = tmp_path_factory.mktemp(kind) / "home"
                started[kind] = stack.enter_context(running(program(kind), home))
            return started[kind]

        yield get


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[servers.Server]:
    """An rclone that the test may stop, or whose files it may change."""
    with running(rclone(), tmp_path / "home") as server:
        yield server


@contextmanager
def store_of(server: servers.Server) -> Iterator[S3ObjectStore]:
    """The store of a server, with the keys from its file."""
    keys = s3_credentials.read(server.credentials_file)
    store = S3ObjectStore(server.endpoint, servers.BUCKET, keys, timeout_s=CALL_S)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def own_store(own_server: servers.Server) -> Iterator[S3ObjectStore]:
    """The store of the test's own server."""
    with store_of(own_server) as store:
        yield store
