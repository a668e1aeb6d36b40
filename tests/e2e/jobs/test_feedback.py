"""From thumbs to a model that learnt of them: what people say, its dataset, the retraining."""

import json
import time

from parley.jobs.v1 import jobs_pb2 as pb
from parley.registry.v1 import registry_pb2 as registry_pb

from stack import keys
from tests.e2e.registry.product import POLL_S, STARTER

from .works import JOB_S, Works

RIGHT = {
    "What is the password of the guest room?": "It is on the door.",
    "Where is the spare key?": "The spare key is under the pot.",
    "When is the kitchen closed?": "The kitchen is closed at night.",
    "Who waters the plants?": "Nora waters the plants.",
    "What is for lunch?": "There is soup for lunch.",
}
PERSONAL = ("Whom do I write to?", "Write to nora@example.org.")


def test_corrections_become_a_version_that_waits_for_approval(works: Works):
    """Feedback is kept with its version; its dataset leaves personal data out; the retraining
    begins by itself, once, and what it makes takes no traffic without a person's word."""
    policy = registry_pb.ModelPolicy(approvers=["ann"])
    asked = registry_pb.SetModelPolicyRequest(
        name=STARTER, policy=policy, request_id=keys.new_request_id()
    )
    works.call("SetModelPolicy", asked)
    champion = works.champion(STARTER)
    for question, correction in [*RIGHT.items(), PERSONAL]:
        give(works, question, correction)

    exported = works.parley("feedback", "export", STARTER, "--json")
    assert exported.returncode == 0, exported.stderr
    told = json.loads(exported.stdout)
    assert int(told["dataset"]["rows"]) == len(RIGHT), told
    assert told["personal"] == 1
    again = works.parley("feedback", "export", STARTER, "--quiet", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["dataset"]["digest"] == told["dataset"]["digest"]

    job = until_retrained(works, told["dataset"]["digest"])
    assert job.state == pb.JOB_STATE_SUCCEEDED, job.error
    assert job.result.promotion == pb.PROMOTION_OUTCOME_WAITING
    assert works.champion(STARTER) == champion
    version = works.version(STARTER, str(job.result.version))
    assert version.evidence.dataset_digest == told["dataset"]["digest"]


def give(works: Works, question: str, correction: str) -> None:
    """Asks, finds the answer bad, and says what it should have been."""
    asked = [{"role": "user", "content": question}]
    with works.sdk() as client, works.http() as http:
        answer = client.chat.completions.create(model=STARTER, messages=asked, max_tokens=32)
        words = answer.choices[0].message.content or "?"
        given = http.post(
            "/api/v1/feedback",
            json={
                "response_id": answer.id,
                "rating": "RATING_BAD",
                "correction": correction,
                "conversation": [*asked, {"role": "assistant", "content": words}],
            },
        )
    assert given.status_code in (200, 201), given.text
    entry = given.json()["entry"]
    assert (entry["model"], entry["version"]) == (STARTER, works.champion(STARTER))


def until_retrained(works: Works, digest: str) -> pb.Job:
    """Waits for the end of the one job that was made of a dataset."""
    deadline = time.monotonic() + JOB_S
    while True:
        found = [one for one in works.all_ended() if one.result.dataset_digest == digest]
        if found:
            assert len(found) == 1
            return works.job(found[0].id)
        assert time.monotonic() < deadline, "no job was made of the feedback"
        time.sleep(POLL_S * 10)
