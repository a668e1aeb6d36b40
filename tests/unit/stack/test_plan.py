"""The plan: what runs where, in which order."""

import dataclasses
import json
from pathlib import Path

import pytest

from stack import plan
from stack.plan import Plan, Program, Remote


def test_a_plan_survives_json(planned):
    """What `up` records is what `down` and `status` read."""
    assert Plan.from_json(json.loads(json.dumps(planned.to_json()))) == planned


def test_waves_start_the_replicas_first_and_envoy_last(planned):
    """Nothing starts before what it needs."""
    names = [[program.name for program in wave] for wave in planned.waves()]
    assert names == [["mesh", "serving-0", "serving-1"], ["gateway"], ["envoy"]]


def test_every_program_has_a_sign_of_readiness(planned):
    """No program counts as ready unasked."""
    assert all(program.probes for program in planned.programs)


def test_a_drain_ends_before_the_kill(planned):
    """Programs are told a drain shorter than the time that they have until they are killed."""
    for program in planned.programs:
        told = [value for name, value in program.environment.items() if name.endswith("_DRAIN_S")]
        assert all(float(value) < program.stop_within_s for value in told)


def test_replicas_share_nothing_of_their_own(planned):
    """Each replica has its own socket and metrics port."""
    first, second = planned.program("serving-0"), planned.program("serving-1")
    for name in ("PARLEY_SERVING_ADDRESS", "PARLEY_SERVING_METRICS_PORT"):
        assert first.environment[name] != second.environment[name]


def test_a_program_is_replaced_by_name(planned):
    """A benchmark may put its own program in a service's place, and only there."""
    other = Program(name="gateway", wave=1, command=("/bin/true",))
    changed = planned.with_program(other)
    assert changed.program("gateway") == other
    assert changed.program("envoy") == planned.program("envoy")
    with pytest.raises(KeyError):
        planned.with_program(Program(name="unknown", wave=0, command=("/bin/true",)))


def test_a_replica_before_another_server_has_no_other_source(planned):
    """Nor does the stack have stores; what it is told is where that is, never a key."""
    remote = Remote("http://127.0.0.1:8000", Path("/keys/one"), "llama")
    made = plan.build(
        planned.home,
        ports=planned.ports,
        replicas=2,
        model_dir=None,
        chat_dir=Path("/chat"),
        envoy=["envoy"],
        remote=remote,
    )
    assert not made.has("registry")
    for name in made.replicas():
        environment = made.program(name).environment
        assert remote.environment().items() <= environment.items()
        assert "PARLEY_SERVING_REGISTRY_ADDRESS" not in environment
        assert environment["PARLEY_SERVING_REMOTE_KEY_FILE"] == "/keys/one"
        assert "PARLEY_SERVING_REMOTE_KIND" not in environment


def test_replicas_share_the_cores(planned):
    """Alike, and one that comes later counts on as many as they do; a lone one on all."""

    def build(replicas: int, **source: object) -> Plan:
        ports = dataclasses.replace(planned.ports, serving_metrics=tuple(range(18084, 18092)))
        return plan.build(
            planned.home,
            ports=ports,
            replicas=replicas,
            chat_dir=Path("/chat"),
            envoy=["envoy"],
            cores=8,
            **{"model_dir": Path("/m"), **source},
        )

    def told(made: Plan) -> set[str | None]:
        return {made.program(name).environment.get(plan.CORES) for name in made.replicas()}

    assert told(build(1)) == {None}
    assert told(build(3)) == {"2.67"}
    assert told(build(3).with_more([plan.replica(build(3), 3, memory_gib=1)])) == {"2.67"}
    assert told(build(2, model_dir=None, remote=Remote("http://127.0.0.1:8000"))) == {None}


def test_a_plan_grows_by_replicas_and_shrinks_again(planned):
    """A new one is as those that there are, stands behind them, and goes first."""
    ports = dataclasses.replace(planned.ports, serving_metrics=(18084, 18085, 18086))
    roomy = dataclasses.replace(planned, ports=ports)
    grown = roomy.with_more([plan.replica(roomy, 2, memory_gib=1)])
    assert grown.replicas() == ["serving-0", "serving-1", "serving-2"]
    assert [program.name for program in grown.waves()[0]][-3:] == grown.replicas()
    told = grown.program("serving-2").environment
    assert told["PARLEY_SERVING_METRICS_PORT"] == "18086"
    assert told.keys() == grown.program("serving-0").environment.keys()
    assert grown.without_last() == planned
