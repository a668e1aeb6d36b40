"""The harness's proxy between the real Envoy and a replica that listens on TCP."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bench.chaos.proxy import ProxyThread, opened
from bench.rotation import Envoy

from .programs import (
    HERE,
    RunningEnvoy,
    eventually,
    free_ports,
    is_serving,
    plan,
    process,
    running_envoy,
    running_replica,
)

WAIT_S = 30.0


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[RunningEnvoy, ProxyThread]]:
    """An Envoy with two replicas, the first of them behind a proxy at its socket."""
    (port,) = free_ports(1)
    upstream = f"127.0.0.1:{port}"
    command = [sys.executable, HERE / "fake_replica.py", upstream, "serving-0"]
    found = ("serving-0", f"unix:{tmp_path / 'serving-0.sock'}", upstream)
    with (
        process(command, tmp_path, "serving-0"),
        running_replica(tmp_path, "serving-1"),
        opened([found]) as proxies,
    ):
        eventually(lambda: is_serving(found[1]), WAIT_S)
        with running_envoy(tmp_path, plan(tmp_path, replicas=2)) as envoy:
            yield envoy, proxies


@pytest.fixture
async def rotation(proxied: tuple[RunningEnvoy, ProxyThread]) -> AsyncIterator[Envoy]:
    """What Envoy says of both."""
    admin = proxied[0].topology.admin_address.removeprefix("unix:")
    found = Envoy(Path(admin))
    assert await found.until(2, WAIT_S)
    yield found
    await found.close()


async def test_envoy_drops_a_replica_in_a_black_hole_and_takes_it_back(
    proxied: tuple[RunningEnvoy, ProxyThread], rotation: Envoy
):
    """Nothing is refused in a hole, only unanswered: health checks find it, and find it healed."""
    _, proxies = proxied
    for _ in range(2):
        proxies.tell("serving-0", "black_hole")
        assert await rotation.until(1, WAIT_S)
        proxies.tell("serving-0", "heal")
        assert await rotation.until(2, WAIT_S)


async def test_envoy_comes_again_after_a_reset(
    proxied: tuple[RunningEnvoy, ProxyThread], rotation: Envoy
):
    """A reset replica is back without anybody's help, and slow bytes do not take it out."""
    _, proxies = proxied
    proxies.tell("serving-0", "reset")
    assert await rotation.until(2, WAIT_S)
    proxies.tell("serving-0", "delay", 0.2, 0.05)
    assert await rotation.healthy() == 2


async def test_an_envoy_that_is_away_calls_nobody(tmp_path: Path):
    """Who asks an Envoy that is not there is told so by the number, not by an error."""
    found = Envoy(tmp_path / "admin.sock")
    assert await found.healthy() == 0
    assert not await found.until(1, 0.3)
    await found.close()
