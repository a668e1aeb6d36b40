"""A run of the harness on stand-ins under a real supervisord: who is struck, what is written down,
and that a wrong answer is found."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import stacks
from bench.chaos import checker, run
from bench.chaos.history import History, read_file
from bench.chaos.run import Options
from bench.chaos.schedule import Fault
from stack import keys, leftovers, ports, up
from stack.environment.places import ROOT
from stack.errors import StackError
from stack.home import Home
from stack.plan import ENVOY_ADMIN, Plan, Probe, Program
from stack.up import Running

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
STAND_IN = ROOT / "tests" / "integration" / "stack" / "stand_in.py"
REPLICAS = ("serving-0", "serving-1")
Runs = Callable[..., History]


def _plan(home: Home, manner: str) -> Plan:
    """Two replicas and a gateway that only answer, and an edge that needs none of them."""
    home.prepare()
    keys.ensure(home)
    picked = ports.pick(len(REPLICAS))
    programs = []
    for wave, name in enumerate((*REPLICAS, "gateway")):
        socket = str(home.socket(name))
        command = (sys.executable, str(STAND_IN), name, socket, str(home.path / "events"))
        probe = Probe("http", "http://localhost/", socket=socket)
        programs.append(Program(name, wave, command, probes=(probe,), stop_within_s=2))
    admin = home.socket(ENVOY_ADMIN)
    sockets = (str(home.socket(name)) for name in REPLICAS)
    edge = (sys.executable, "-m", "tests.integration.chaos.fake_edge", str(picked.edge))
    probe = Probe("http", "http://localhost/stats", socket=str(admin))
    command = (*edge, str(admin), manner, *sockets)
    programs.append(Program("envoy", 9, command, probes=(probe,), stop_within_s=2))
    return Plan(home, picked, home.starter_model, tuple(programs))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Nothing runs for it afterwards."""
    made = Home(tmp_path / "home")
    yield made
    up.stop(made)
    leftovers.end(made, at_once=True)


@pytest.fixture
def runs(home: Home, tmp_path: Path) -> Runs:
    """Runs the harness for some seconds, and reads its history from the file."""

    def ran(*faults: Fault, manner: str = "right", seconds: float = 26.0) -> History:
        running = up.start_with(home, lambda: _plan(home, manner))
        options = Options(seconds, seed=3, replicas=len(REPLICAS), streams=4, faults=faults)
        path = tmp_path / "history.jsonl"
        with path.open("w") as file:
            recorder = run.run(running, None, options, file, print)
        assert read_file(path) == recorder.history
        return recorder.history

    return ran


def test_processes_are_struck_and_come_back(runs: Runs):
    """Each kind of blow falls once, is seen in the rotation, and all is well again behind it."""
    history = runs(Fault.KILL, Fault.TERM)
    found = checker.examine(history)
    assert found.complaints == ()
    assert found.streams > 20
    assert {one.fault: one.blows for one in found.faults} == {"kill": 1, "term": 1}
    assert all(one.out_s is not None and one.back_s is not None for one in found.faults)
    struck = [(one.fault, one.program) for one in history.struck]
    assert struck == [(blow["fault"], blow["program"]) for blow in history.run.schedule]


def test_what_the_edge_takes_along_is_excused(runs: Runs):
    """A killed edge cuts streams and comes back; no other stream is excused."""
    found = checker.examine(runs(Fault.ENVOY, seconds=14.0))
    assert found.complaints == ()
    assert found.streams > found.excused > 0


def test_a_stack_that_loses_words_is_found_out(runs: Runs):
    """The harness fails a server that leaves something out of its answers."""
    found = checker.examine(runs(Fault.KILL, manner="gaps", seconds=14.0))
    assert found.gaps == found.streams > 0
    assert not found.holds


def test_what_is_not_there_cannot_be_struck(home: Home, tmp_path: Path):
    """A stack without a control plane refuses its fault by name."""
    running = Running(_plan(home, "right"))
    with (tmp_path / "history").open("w") as file, pytest.raises(StackError, match="no mesh"):
        run.run(running, None, Options(faults=(Fault.MESH,)), file, print)


def test_replicas_move_behind_their_proxies(home: Home):
    """Whoever looks for a replica finds the proxy; the replica itself is told where to listen."""
    plan = stacks.told(_plan(home, "right"), "serving-0", {"A": "b"})
    moved = run.behind_proxies(plan, {"serving-0": "127.0.0.1:1"})
    program = moved.program("serving-0")
    assert program.environment == {
        "A": "b",
        "PARLEY_SERVING_ADDRESS": "127.0.0.1:1",
        "PARLEY_SERVING_ADVERTISE": f"unix:{home.socket('serving-0')}",
    }
    assert [probe.target for probe in program.probes] == ["127.0.0.1:1"]
    assert moved.program("serving-1") == plan.program("serving-1")
