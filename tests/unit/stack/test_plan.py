"""The plan: what runs where, in which order."""

import json

import pytest

from stack.plan import Plan, Program


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
