"""Which configuration Envoy starts from."""

import asyncio
import socket

import pytest

from services.mesh.discovery import ROUTES_FILE
from services.mesh.launcher import choose
from services.rpc.server import Server
from services.rpc.settings import ServerSettings


@pytest.fixture
def address(tmp_path) -> str:
    """Where the mesh is, when it is."""
    return f"unix:{tmp_path / 'mesh.sock'}"


@pytest.fixture
def chosen(tmp_path, address):
    """Chooses, with files that a mesh has left behind or without any."""
    files = tmp_path / "told"
    files.mkdir()
    paths = (tmp_path / "envoy.json", tmp_path / "envoy-files.json")

    def choose_with(left: bool) -> str:
        if left:
            (files / ROUTES_FILE).write_text("{}")
        return choose(address, *paths, files).name

    return choose_with


async def _choose_beside(chosen, left: bool) -> str:
    """Chooses on a thread, for the server is on this one's loop."""
    return await asyncio.to_thread(chosen, left)


@pytest.fixture
async def server(address):
    """A server at the mesh's address, which has nothing to tell yet."""
    made = Server(ServerSettings(address=address, drain_s=0, health_interval_s=0), [])
    await made.start()
    yield made
    await made.grpc.stop(0)


async def test_a_mesh_that_has_something_to_tell_is_followed(server, chosen):
    """Its files are for when it is away."""
    await server.set_serving(True)
    assert await _choose_beside(chosen, left=True) == "envoy.json"


async def test_files_are_better_than_a_mesh_that_knows_nothing_yet(server, chosen):
    """One that has just been started waits for its replicas."""
    assert await _choose_beside(chosen, left=True) == "envoy-files.json"


def test_files_are_followed_where_no_mesh_is(chosen):
    """That is what they are kept for."""
    assert chosen(left=True) == "envoy-files.json"


def test_files_are_followed_where_a_mesh_is_frozen(chosen, address):
    """It takes the connection, and says nothing."""
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(address.removeprefix("unix:"))
        frozen.listen()
        assert chosen(left=True) == "envoy-files.json"


def test_without_files_the_mesh_is_waited_for(chosen):
    """There is nothing else to begin with."""
    assert chosen(left=False) == "envoy.json"
