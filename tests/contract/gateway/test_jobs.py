"""Jobs and feedback of /api/v1 on services that keep the contract's rules."""

import uuid

import pytest
from jsonschema import Draft202012Validator
from parley.jobs.v1 import jobs_pb2 as pb

from gateway.api.openapi import PATH
from services.rpc import errors
from tests.fakes.facade import Facade

ANSWER = f"chatcmpl-{'a' * 12}-3-17-{'b' * 32}"
TALK = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Parley."}]
SPEC = {"finetune": {"model": "m", "dataset": "/data.jsonl", "learning_rate": 0.001, "seed": 7}}


async def test_job_is_submitted_once_and_found_again(facade: Facade) -> None:
    """202; the same key and fields are the same job, other fields are a conflict."""
    headers = {"idempotency-key": str(uuid.uuid4()), "x-parley-client": "ann"}
    first = await facade.http.post("/api/v1/jobs", json={"spec": SPEC}, headers=headers)
    assert first.status_code == 202
    job = first.json()["job"]
    assert (job["id"], job["submitted_by"]) == (headers["idempotency-key"], "ann")
    again = await facade.http.post("/api/v1/jobs", json={"spec": SPEC}, headers=headers)
    assert again.json() == first.json()
    other = {"spec": {"evaluate": {"model": "m"}}}
    taken = await facade.http.post("/api/v1/jobs", json=other, headers=headers)
    assert (taken.status_code, taken.json()["reason"]) == (409, "REQUEST_ID_TAKEN")
    found = (await facade.http.get(f"/api/v1/jobs/{job['id']}")).json()["job"]
    assert found["spec"]["finetune"]["seed"] == 7
    assert found["state"] == "JOB_STATE_QUEUED"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"finetune": {"model": "m", "dataset": "data.jsonl"}}, "spec.finetune.dataset"),
        ({"finetune": {"model": "m", "dataset": "/d", "seed": 2**32}}, "spec.finetune.seed"),
        ({"finetune": {"model": "m", "dataset": "/d", "epoch": 3}}, "spec.finetune.epoch"),
        (
            {"finetune": {"model": "m", "dataset": "/d", "learning_rate": 2}},
            "spec.finetune.learning_rate",
        ),
    ],
)
async def test_wrong_field_of_a_job_is_named(facade: Facade, spec: object, field: str) -> None:
    """By its whole path, before anything is asked of the service."""
    reply = await facade.http.post("/api/v1/jobs", json={"spec": spec})
    assert (reply.status_code, reply.json()["field"]) == (400, field)
    assert not facade.jobs.metadata


async def test_jobs_are_listed_by_state_kind_and_page(facade: Facade) -> None:
    """A parameter of many values is given many times."""
    facade.jobs.add("one")
    facade.jobs.add("two", pb.JobSpec(evaluate=pb.EvaluateSpec(model="m")))
    facade.jobs.add("three").state = pb.JOB_STATE_FAILED
    states = {"states": ["JOB_STATE_FAILED", "JOB_STATE_QUEUED"]}
    every = (await facade.http.get("/api/v1/jobs", params=states)).json()["jobs"]
    assert [job["id"] for job in every] == ["three", "two", "one"]
    kind = (await facade.http.get("/api/v1/jobs", params={"kind": "evaluate"})).json()["jobs"]
    assert [job["id"] for job in kind] == ["two"]
    page = (await facade.http.get("/api/v1/jobs", params={"page_size": 2})).json()
    assert page["next_page_token"] == "2"
    wrong = await facade.http.get("/api/v1/jobs", params={"states": "failed"})
    assert wrong.json()["field"] == "states.0"


async def test_job_is_cancelled_and_tried_again(facade: Facade) -> None:
    """With a reason or without; not once it has ended, or has succeeded."""
    facade.jobs.add("one")
    cancelled = await facade.http.post("/api/v1/jobs/one:cancel")
    assert cancelled.json()["job"]["state"] == "JOB_STATE_CANCELLING"
    ended = await facade.http.post("/api/v1/jobs/one:cancel", json={"reason": "no need"})
    assert (ended.status_code, ended.json()["reason"]) == (400, "JOB_ENDED")
    again = await facade.http.post("/api/v1/jobs/one:retry")
    assert again.json()["job"]["state"] == "JOB_STATE_QUEUED"
    nobody = await facade.http.post("/api/v1/jobs/nobody:retry")
    assert (nobody.status_code, nobody.json()["reason"]) == (404, "JOB_NOT_FOUND")


async def test_id_of_a_run_of_airflow_is_an_id(facade: Facade) -> None:
    """With its colons and its plus sign."""
    run = "scheduled__2026-11-25T03:00:00+00:00"
    facade.jobs.add(run)
    reply = await facade.http.get("/api/v1/jobs/scheduled__2026-11-25T03:00:00%2B00:00")
    assert reply.json()["job"]["id"] == run


async def test_schedule_is_held_and_goes_on(facade: Facade) -> None:
    """Two addresses, one call."""
    for word, paused in (("pause", True), ("resume", False)):
        reply = await facade.http.post(f"/api/v1/schedules/nightly_evaluate:{word}")
        assert reply.json()["schedule"]["paused"] is paused
    listed = (await facade.http.get("/api/v1/schedules")).json()["schedules"]
    assert [one["name"] for one in listed] == ["nightly_evaluate"]
    missing = await facade.http.post("/api/v1/schedules/weekly:pause")
    assert missing.status_code == 404


async def test_service_that_refuses_for_now_says_when(facade: Facade) -> None:
    """429 and 503 with Retry-After."""
    full = errors.ResourceExhausted("Too many wait.", reason="TOO_MANY_JOBS", retry_after_s=30)
    facade.jobs.refusals = [full, errors.Unavailable("Starting.", reason="STARTING")]
    first = await facade.http.post("/api/v1/jobs", json={"spec": SPEC})
    assert (first.status_code, first.headers["retry-after"]) == (429, "30")
    second = await facade.http.get("/api/v1/jobs")
    assert (second.status_code, second.headers["retry-after"]) == (503, "1")


async def test_metric_that_is_no_number_is_left_out(facade: Facade) -> None:
    """JSON has no word for it."""
    facade.jobs.add("one", metrics={"loss": float("nan"), "step": 3, "norm": float("inf")})
    job = (await facade.http.get("/api/v1/jobs/one")).json()["job"]
    assert job["metrics"] == {"step": 3}


async def test_feedback_is_given_listed_and_exported(facade: Facade) -> None:
    """In the name of the client that the edge knows; the later word counts."""
    for rating in ("RATING_BAD", "RATING_GOOD"):
        body = {"response_id": ANSWER, "rating": rating, "conversation": TALK}
        reply = await facade.http.post(
            "/api/v1/feedback", json=body, headers={"x-parley-client": "ann"}
        )
        assert reply.json()["entry"]["given_by"] == "ann"
    listed = (await facade.http.get("/api/v1/feedback", params={"response_id": ANSWER})).json()
    assert [one["rating"] for one in listed["entries"]] == ["RATING_GOOD"]
    exported = await facade.http.post("/api/v1/feedback:export", json={"model": "m"})
    assert exported.json()["dataset"]["rows"] == 1
    unrated = {"response_id": ANSWER, "rating": "RATING_UNSPECIFIED"}
    assert (await facade.http.post("/api/v1/feedback", json=unrated)).json()["field"] == "rating"


async def test_answers_of_jobs_keep_to_openapi(facade: Facade) -> None:
    """Good ones and problems alike."""
    document = (await facade.http.get(PATH)).json()
    facade.jobs.add("one", metrics={"loss": 0.5, "norm": float("nan")})
    body = {"response_id": ANSWER, "rating": "RATING_BAD", "conversation": TALK}
    replies = {
        "/api/v1/jobs": await facade.http.get("/api/v1/jobs"),
        "/api/v1/jobs/{id}": await facade.http.get("/api/v1/jobs/one"),
        "/api/v1/jobs/{id}:cancel": await facade.http.post("/api/v1/jobs/nobody:cancel"),
        "/api/v1/schedules": await facade.http.get("/api/v1/schedules"),
        "/api/v1/feedback": await facade.http.post("/api/v1/feedback", json=body),
        "/api/v1/datasets": await facade.http.post("/api/v1/datasets?name=d", content=b"{}\n"),
    }
    for path, reply in replies.items():
        responses = document["paths"][path][reply.request.method.lower()]["responses"]
        told = responses.get(str(reply.status_code), responses["default"])
        schema = told["content"][reply.headers["content-type"]]["schema"]
        root = {**schema, "components": document["components"]}
        Draft202012Validator(root).validate(reply.json())
