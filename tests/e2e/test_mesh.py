"""Two replicas in a live mesh: who is there, who takes requests, and what goes on without it."""

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from parley.mesh.v1 import mesh_pb2 as pb

from stack import mesh_view, up
from stack.errors import StackError
from stack.home import Home
from stack.plan import ENVOY_ADMIN, MESH
from stack.supervisor import Supervisor
from stack.up import Running

from .meshes import WAIT_S, is_followed, look_until, ready_in, serving_in
from .replica import ReplicaProbe

MODEL = "talkative"
BOTH = ["serving-0", "serving-1"]
# The target is 0.5 s on a quiet machine; the tests share theirs.
ROUTED_S_MAX = 2.0
WORKERS = 4
POLL_S = 0.005
# The long way: PARLEY_TEST_MESH_AWAY_S=300
AWAY_S = float(os.environ.get("PARLEY_TEST_MESH_AWAY_S", "30"))
CHURN_S, CHURN_POLL_S = 10.0, 0.1


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, talkative: Path) -> Iterator[Running]:
    """A stack with two replicas."""
    home = Home(tmp_path_factory.mktemp("mesh"))
    yield up.start(home, replicas=2, model_dir=talkative)
    up.stop(home)


@pytest.fixture
def whole(pair: Running) -> Running:
    """The stack with all its parts, and Envoy at the newest snapshot."""
    supervisor = Supervisor(pair.plan.home)
    supervisor.start(MESH)
    look_until(pair, _is_whole)
    return pair


def _look(running: Running) -> pb.GetMeshResponse:
    """The mesh; an empty one while its process is away."""
    try:
        with mesh_view.connect(running.plan.home) as mesh:
            return mesh.look()
    except StackError:
        return pb.GetMeshResponse()


def _is_whole(mesh: pb.GetMeshResponse) -> bool:
    return serving_in(mesh) == BOTH and ready_in(mesh) == BOTH and is_followed(mesh)


def _taken_s(mesh: pb.GetMeshResponse) -> float:
    """When Envoy took the last part of what it was sent, in seconds since 1970."""
    times = [one.acknowledge_time for proxy in mesh.proxies for one in proxy.resources]
    return max(stamp.ToNanoseconds() for stamp in times) / 1e9


def _members(running: Running) -> list[dict[str, Any]]:
    """The replicas that Envoy has, as it says itself."""
    transport = httpx.HTTPTransport(uds=str(running.plan.home.socket(ENVOY_ADMIN)))
    with httpx.Client(transport=transport, base_url="http://envoy") as client:
        told = client.get("/clusters", params={"format": "json"}).json()
    return [
        host
        for cluster in told["cluster_statuses"]
        for host in cluster.get("host_statuses", ())
        if cluster["name"] == "serving"
    ]


def _called(running: Running) -> set[str]:
    """The replicas that Envoy would call, were they well."""
    return {host["hostname"] for host in _members(running)}


def _well(running: Running) -> bool:
    """Whether Envoy has both replicas, and finds both well."""
    members = _members(running)
    return len(members) == len(BOTH) and not any(
        host["health_status"].get("failed_active_health_check") for host in members
    )


def _envoy(running: Running) -> psutil.Process:
    return psutil.Process(Supervisor(running.plan.home).processes()["envoy"].pid)


def _ask(running: Running, client: httpx.Client, tokens: int = 8) -> int:
    """The status of one short answer."""
    body = {"model": MODEL, "prompt": [300, 301], "max_tokens": tokens}
    headers = {"authorization": f"Bearer {running.api_key}"}
    url = f"{running.base_url}/completions"
    return client.post(url, json=body, headers=headers, timeout=WAIT_S).status_code


class Load:
    """Callers that ask one question after another, and what came of it."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.statuses: list[int | str] = []

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Asks until the block ends."""
        threads = [threading.Thread(target=self._keep_asking) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    @property
    def failed(self) -> list[int | str]:
        """All that was not an answer."""
        return [status for status in self.statuses if status != httpx.codes.OK]

    def _keep_asking(self) -> None:
        with httpx.Client() as client:
            while not self._stop.is_set():
                try:
                    status: int | str = _ask(self._running, client)
                except httpx.HTTPError as error:
                    status = repr(error)
                with self._lock:
                    self.statuses.append(status)


@contextmanager
def _mesh_killed(running: Running) -> Iterator[None]:
    """The mesh's process is dead within the block, and started again after it."""
    supervisor = Supervisor(running.plan.home)
    psutil.Process(supervisor.processes()[MESH].pid).kill()
    # What supervisord has just started in its place is ended before it listens.
    supervisor.stop(MESH)
    try:
        yield
    finally:
        supervisor.start(MESH)


def test_the_mesh_shows_both_replicas_and_a_proxy_that_follows(whole: Running):
    """Names, versions, weights and acknowledgements, after nothing but `up`."""
    mesh = _look(whole)
    (model,) = mesh.models
    (version,) = model.versions
    assert (model.model, version.weight, version.effective_weight) == (MODEL, 100, 100)
    (proxy,) = mesh.proxies
    assert [one.kind for one in proxy.resources] == ["clusters", "endpoints", "routes"]
    assert not any(one.refused for one in proxy.resources)
    assert mesh.snapshot
    assert not mesh.detail
    assert _called(whole) == set(BOTH)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_only_engines_interrupt_who_runs(whole: Running):
    """All that passes tokens on gives way to them, in every thread."""
    running = Supervisor(whole.plan.home).processes()
    passing = [psutil.Process(running[name].pid) for name in ("envoy", "gateway", *BOTH)]
    engines = [engine for process in passing for engine in process.children()]
    assert len(engines) == len(BOTH)
    assert {policy for process in passing for policy in _policies(process)} == {os.SCHED_BATCH}
    assert {policy for engine in engines for policy in _policies(engine)} == {os.SCHED_OTHER}


def _policies(process: psutil.Process) -> set[int]:
    return {os.sched_getscheduler(thread.id) for thread in process.threads()}


def test_a_killed_replica_is_out_of_the_routes_and_in_again_at_once(
    whole: Running, record_property: Callable[[str, object], None]
):
    """From the death, and from the first word of what is there again, to Envoy's word."""
    with ReplicaProbe(whole, "serving-1") as probe:
        process = probe.process()
    died_s = time.time()
    process.kill()
    mesh = look_until(
        whole, lambda mesh: is_followed(mesh) and ready_in(mesh) == ["serving-0"]
        and _taken_s(mesh) > died_s
    )  # fmt: skip
    out_s = _taken_s(mesh) - died_s
    assert _called(whole) == {"serving-0"}
    said = look_until(whole, lambda mesh: serving_in(mesh) == BOTH)
    ready_s = said.replicas[1].report_time.ToNanoseconds() / 1e9
    mesh = look_until(whole, lambda mesh: _is_whole(mesh) and _taken_s(mesh) > ready_s)
    in_s = _taken_s(mesh) - ready_s
    record_property("out_s", round(out_s, 3))
    record_property("in_s", round(in_s, 3))
    print(f"out of the routes after {out_s:.3f} s, in again after {in_s:.3f} s")
    assert out_s < ROUTED_S_MAX
    assert in_s < ROUTED_S_MAX
    assert _called(whole) == set(BOTH)


def test_chats_go_on_without_the_mesh_and_it_comes_back_unseen(whole: Running):
    """No answer fails while its process is dead and the replicas die in turn, which health checks
    alone notice then; nor when it is there again and knows nothing."""
    load = Load(whole)
    envoy = _envoy(whole).pid
    with load.going_on():
        with _mesh_killed(whole):
            deaths = _kill_in_turn(whole, load, time.monotonic() + AWAY_S)
        look_until(whole, _is_whole)
    assert load.failed == []
    assert len(load.statuses) > AWAY_S
    assert deaths
    assert _envoy(whole).pid == envoy
    print(f"{len(load.statuses)} answers, none failed, and {deaths} deaths of a replica")


def _kill_in_turn(running: Running, load: Load, until_s: float) -> int:
    """Kills one replica or the other from time to time, each when both are well; says how often.
    Answers go on after each. Ends with the first that fails."""
    names = itertools.cycle(BOTH)
    deaths, next_s = 0, time.monotonic() + CHURN_S
    while time.monotonic() < until_s and not load.failed:
        if time.monotonic() >= next_s and _well(running):
            with ReplicaProbe(running, next(names)) as probe:
                probe.process().kill()
            _await_answers(load)
            deaths, next_s = deaths + 1, time.monotonic() + CHURN_S
        time.sleep(CHURN_POLL_S)
    return deaths


def _await_answers(load: Load) -> None:
    """Waits for some more; fails past the bound."""
    before, until_s = len(load.statuses), time.monotonic() + WAIT_S
    while len(load.statuses) < before + 10 * WORKERS:
        assert time.monotonic() < until_s
        time.sleep(POLL_S)


def test_envoy_starts_from_the_last_files_without_the_mesh(whole: Running):
    """It answers, follows the files once the mesh is back, and the mesh itself when it is next
    started."""
    with _mesh_killed(whole):
        _restart_envoy(whole)
        assert "envoy-files.json" in " ".join(_envoy(whole).cmdline())
        with httpx.Client() as client:
            assert _ask(whole, client) == httpx.codes.OK
        assert _called(whole) == set(BOTH)
    # Both have joined it again.
    look_until(whole, lambda mesh: serving_in(mesh) == BOTH)
    with ReplicaProbe(whole, "serving-1") as probe:
        probe.process().kill()
    look_until(
        whole, lambda mesh: ready_in(mesh) == ["serving-0"] and _called(whole) == {"serving-0"}
    )
    look_until(whole, lambda mesh: ready_in(mesh) == BOTH and _called(whole) == set(BOTH))
    _restart_envoy(whole)
    look_until(whole, _is_whole)


def _restart_envoy(running: Running) -> None:
    """Kills Envoy, and waits until another one answers."""
    old = _envoy(running)
    old.kill()
    until_s = time.monotonic() + WAIT_S
    with httpx.Client() as client:
        while not _answers(running, client, old.pid):
            assert time.monotonic() < until_s
            time.sleep(POLL_S)


def _answers(running: Running, client: httpx.Client, old: int) -> bool:
    found = Supervisor(running.plan.home).processes()["envoy"]
    if found.pid in (0, old):
        return False
    try:
        url, key = f"{running.base_url}/models", running.api_key
        told = client.get(url, headers={"authorization": f"Bearer {key}"})
        return told.status_code == httpx.codes.OK and bool(json.loads(told.text)["data"])
    except httpx.HTTPError:
        return False
