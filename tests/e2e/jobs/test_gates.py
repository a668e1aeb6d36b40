"""Candidates that are worse, and candidates that wait for a person."""

import json
from pathlib import Path

from parley.jobs.v1 import jobs_pb2 as pb
from parley.registry.v1 import registry_pb2 as registry_pb

from stack import keys

from .works import Works


def test_a_worse_candidate_is_refused_with_the_reason(works: Works, small_data: Path):
    """A second training that learns nothing: registered, measured beside the champion, refused."""
    good = {"model": "judged", "dataset": str(small_data)}
    first = works.ended(works.submit(finetune=good).id)
    assert first.result.promotion == pb.PROMOTION_OUTCOME_PROMOTED, first.result
    bad = {**good, "method": pb.TRAINING_METHOD_SCRATCH, "epochs": 1}
    second = works.ended(works.submit(finetune=bad).id)
    assert second.state == pb.JOB_STATE_SUCCEEDED
    assert second.result.promotion == pb.PROMOTION_OUTCOME_REFUSED
    assert "eval.exact_match" in second.result.promotion_reason
    assert works.champion("judged") == first.result.version


def test_an_approval_holds_a_candidate_until_it_is_given(works: Works, small_data: Path):
    """It waits, its requester may not approve it; another may, at once, and it is the champion."""
    policy = registry_pb.ModelPolicy(approvers=["ann", "bob"])
    asked = registry_pb.SetModelPolicyRequest(
        name="held", policy=policy, request_id=keys.new_request_id()
    )
    works.call("SetModelPolicy", asked)
    spec = {"model": "held", "dataset": str(small_data), "epochs": 5}
    job = works.ended(works.submit(name="ann", finetune=spec).id)
    assert job.result.promotion == pb.PROMOTION_OUTCOME_WAITING
    assert works.champion("held") == 0

    address = f"/api/v1/promotions/{job.result.promotion_id}:answer"
    answer = {"approve": True, "reason": "a test"}
    with works.http(name="ann") as ann, works.http(name="bob") as bob:
        assert ann.post(address, json=answer).status_code == 403
        given = bob.post(address, json=answer)
    assert given.status_code == 200, json.dumps(given.json())
    assert works.champion("held") == job.result.version
