"""Data that cannot be trained on is refused before anything is computed."""

from pathlib import Path

import grpc
import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from .works import Works

GOOD = b'{"prompt": "Who?", "completion": "We."}\n'
USER_LAST = b'{"messages": [{"role": "user", "content": "Who?"}]}\n'
BAD = {
    "bad JSON at line 7": (GOOD * 6 + b"{oops}\n" + GOOD, "line 7"),
    "an empty file": (b"", "empty"),
    "one line": (GOOD, "one"),
    "wrong roles": (GOOD + USER_LAST, "line 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_are_refused_by_name(works: Works, tmp_path: Path, name: str):
    """INVALID_ARGUMENT with the line and what is wrong with it; no job is there afterwards."""
    data, words = BAD[name]
    path = tmp_path / "data.jsonl"
    path.write_bytes(data)
    before = works.ask("ListJobs", pb.ListJobsRequest()).jobs
    with pytest.raises(grpc.RpcError) as refused:
        works.submit(finetune={"model": "bad", "dataset": str(path)})
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert words in refused.value.details()
    assert list(works.ask("ListJobs", pb.ListJobsRequest()).jobs) == list(before)


def test_a_line_of_a_gibibyte_is_refused_unread(works: Works, tmp_path: Path):
    """Refused within the call's deadline; nothing holds the line in memory."""
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(GOOD)
        file.seek(1 << 30, 1)
        file.write(b"\n")
    with pytest.raises(grpc.RpcError) as refused:
        works.submit(finetune={"model": "bad", "dataset": str(path)})
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "line 2" in refused.value.details()


def test_what_no_repeat_can_mend_is_tried_once(works: Works):
    """Data that are not where they are said to be: the first task says so, and the job ends."""
    job = works.submit(finetune={"model": "bad", "dataset": "s3://parley/there-is-no-such-key"})
    found = works.ended(job.id)
    assert found.state == pb.JOB_STATE_FAILED
    assert found.error.reason == "OBJECT_NOT_FOUND", found.error
    assert (found.tasks[0].name, found.tasks[0].attempts) == ("prepare", 1)
    failed = works.failed_task(job.id, "prepare")
    assert (failed.state, failed.attempts) == (pb.TASK_STATE_FAILED, 1)
