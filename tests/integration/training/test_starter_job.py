"""The starter made anew as a job, from its training to its promotion; measured like all else."""

from hashlib import sha256

import pytest
from parley.jobs.v1 import jobs_pb2
from parley.registry.v1 import registry_pb2 as pb

from services.registry import gates
from services.registry.model import Evaluation, Gate, Policy
from tests.integration.s3 import servers
from tests.integration.training.world import World

pytestmark = pytest.mark.slow

TINY = "tests.integration.training.tiny_starter"
STARTER = "parley-starter"
METRIC = "eval.exact_match"


def measured(version: pb.ModelVersion) -> list[Evaluation]:
    """What is known of a version, as the registry's gates get it."""
    own = Evaluation(version.evidence.evaluation_digest, dict(version.evidence.metrics))
    later = [Evaluation(one.evaluation_digest, dict(one.metrics)) for one in version.evaluations]
    return [own, *later]


def test_a_starter_is_gated_against_the_champion(world: World) -> None:
    """Train, register, promote: the champion is measured on what the candidate is measured on, so
    that the gate compares them; evaluations before and after it are of the same rows."""
    champion = world.registry.versions[STARTER][0]
    assert not champion.evidence.evaluation_digest
    status, output = world.run("evaluate", {"model": STARTER}, "job-19")
    assert status == 0, output
    before = world.jobs.result.evaluation_digest
    del champion.evaluations[:]
    status, output = world.run("pretrain_starter", {"seed": 3}, "job-20", module=TINY)
    assert status == 0, output

    result = world.jobs.result
    assert (result.model, result.version) == (STARTER, 2)
    assert result.promotion == jobs_pb2.PROMOTION_OUTCOME_PROMOTED
    made = world.registry.versions[STARTER][1]
    digest = made.evidence.evaluation_digest
    assert result.evaluation_digest == digest == before
    stored = world.bucket.get_object(servers.BUCKET, f"datasets/sha256/{digest}").read()
    assert sha256(stored).hexdigest() == digest

    assert [one.evaluation_digest for one in champion.evaluations] == [digest]
    (gate,) = world.registry.models[STARTER].policy.gates
    assert gate.metric == METRIC
    policy = Policy(gates=(Gate(gate.metric, margin=gate.margin),))
    assert gates.refusals(policy, measured(made), measured(champion)) == []

    world.store_model(world.folder / "work/job-20/starter")
    status, output = world.run("evaluate", {"model": STARTER}, "job-21")
    assert status == 0, output
    assert world.jobs.result.evaluation_digest == digest
    (again,) = made.evaluations
    assert again.evaluation_digest == digest
    assert again.metrics[METRIC] == made.evidence.metrics[METRIC]
