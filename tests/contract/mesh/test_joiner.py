"""A replica's side of joining, against the real mesh: it comes back, and never waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from parley.mesh.v1 import mesh_pb2 as pb

from services.mesh.members import INTERVALS_SILENT
from services.serving.joining import Joiner
from tests.contract.mesh.worlds import present, running
from tests.fakes.mesh import DRAINING, LOADING, READY, report

SHORT_S = 0.5


@dataclass
class Talker:
    """A replica that says what the test says."""

    says: pb.Report
    joiner: Joiner


@asynccontextmanager
async def talking(address: str, says: pb.Report) -> AsyncIterator[Talker]:
    """A replica that joins, for one test."""
    talker = Talker(says, Joiner(lambda: talker.says, address))
    talker.joiner.start()
    yield talker
    await talker.joiner.close()


@pytest.fixture
async def world(tmp_path):
    """A mesh."""
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def talker(world):
    """A replica that is in it."""
    async with talking(world.address, report()) as made:
        await world.until(lambda mesh: present(mesh) == ["serving-0"])
        yield made


async def test_a_change_is_reported_at_once(world, talker):
    """Not at the next interval."""
    talker.says = report(versions={"1": READY, "2": LOADING})
    talker.joiner.tell()
    mesh = await world.until(lambda mesh: len(mesh.replicas[0].report.versions) == 2)
    assert mesh.replicas[0].report == talker.says


async def test_a_replica_with_nothing_new_stays(tmp_path):
    """It reports in each interval that the mesh asks for, and so is never silent for three."""

    def has_been_heard(mesh: pb.GetMeshResponse) -> bool:
        assert all(not one.left for one in mesh.replicas)
        for one in mesh.replicas:
            stayed_ns = one.report_time.ToNanoseconds() - one.join_time.ToNanoseconds()
            return stayed_ns > 1.5 * INTERVALS_SILENT * SHORT_S * 1e9
        return False

    async with running(tmp_path, interval_s=SHORT_S) as world, talking(world.address, report()):
        await world.until(has_been_heard)


async def test_a_drain_is_known_before_it_begins(world, talker):
    """`drain` returns once the mesh has answered the report of it."""
    talker.says = report(state=DRAINING)
    await talker.joiner.drain()
    assert (await world.look()).replicas[0].report.state == DRAINING


async def test_who_leaves_is_gone_at_once(world):
    """Its stream ends with it."""
    async with talking(world.address, report()):
        await world.until(lambda mesh: present(mesh) == ["serving-0"])
    await world.until(lambda mesh: not present(mesh))


async def test_a_drain_without_a_mesh_waits_for_nothing(tmp_path):
    """A replica can end while the mesh is away."""
    async with talking(f"unix:{tmp_path / 'nobody.sock'}", report()) as talker:
        async with asyncio.timeout(0.5):
            await talker.joiner.drain()


async def test_a_mesh_that_comes_late_is_joined(tmp_path):
    """And one that comes back."""
    async with talking(f"unix:{tmp_path / 'mesh.sock'}", report()):
        for _ in range(2):
            async with running(tmp_path) as world:
                await world.until(lambda mesh: present(mesh) == ["serving-0"])
