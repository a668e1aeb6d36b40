"""`./parley mesh`, and what else the command line says of the mesh, against a real one."""

import asyncio

import pytest

from services.mesh.state import ModelTraffic, Share
from stack import mesh_view
from stack.commands import mesh as command
from stack.errors import StackError
from stack.home import Home
from stack.up import SILENT
from tests.contract.mesh.worlds import running
from tests.fakes.mesh import DRAINING, MODEL, report


@pytest.fixture
def home(tmp_path) -> Home:
    """A state folder."""
    made = Home(tmp_path)
    made.prepare()
    return made


@pytest.fixture
async def world(home):
    """A mesh where the command line looks for it, with one replica that serves and one that
    drains."""
    async with running(home.sockets) as made:
        await made.join(report())
        await made.join(report("serving-1", state=DRAINING))
        await made.until(lambda mesh: len(mesh.models) == 1)
        yield made


def _look(home: Home):
    with mesh_view.connect(home) as mesh:
        return mesh.look()


async def test_the_table_names_replicas_versions_and_shares(world, home, capsys):
    """A person sees who serves what, and who goes."""
    command._show(await asyncio.to_thread(_look, home))
    lines = capsys.readouterr().out.splitlines()
    (first,) = [line for line in lines if line.startswith("serving-0")]
    (second,) = [line for line in lines if line.startswith("serving-1")]
    assert "serving" in first.split()
    assert f"{MODEL}@1 ready" in first
    assert "draining" in second.split()
    assert [line.split() for line in lines if line.startswith(MODEL)] == [
        [MODEL, "1", "100", "%", "100", "%", "serving-0"]
    ]


async def test_one_line_says_how_many_serve(world, home):
    """Also that no proxy follows."""
    words = mesh_view.summary(await asyncio.to_thread(_look, home))
    assert words.startswith("1 of 2 replicas serve; ")
    assert mesh_view.FILES_WORDS in words


async def test_who_has_left_is_a_problem_for_a_minute(world, home):
    """`doctor` names it, with the reason."""
    call = await world.join(report("serving-2"))
    assert mesh_view.problem(await world.look()) == ""
    call.cancel()
    found = await world.until(lambda mesh: any(one.left for one in mesh.replicas))
    assert mesh_view.problem(found) == "serving-2 has left: Its stream ended."


async def test_a_promotion_waits_for_its_revision(home, monkeypatch):
    """What proxies do is by the mesh's revision, and a mesh that never gets there is named."""
    monkeypatch.setattr(mesh_view, "FOLLOW_S", 0.2)
    async with running(home.sockets, registry=True) as world:
        world.conductor.on_traffic(3, (ModelTraffic(MODEL, (Share("1", 100),), (), ("1",)),))
        await asyncio.to_thread(mesh_view.follow, home, 3, SILENT)
        with pytest.raises(StackError, match="revision 3 of 4"):
            await asyncio.to_thread(mesh_view.follow, home, 4, SILENT)


def test_a_mesh_that_is_away_is_said_to_be(home):
    """In words, and with what to do."""
    with pytest.raises(StackError, match="The mesh does not answer"):
        _look(home)
