"""Claims about what Jobs hears of a task, and what the task hears from it."""

import threading
from uuid import UUID

import grpc
import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from training.tasks import reporter as module
from training.tasks.reporter import Reporter

WAIT_S = 20


class Refusal(grpc.RpcError):
    """An answer that is an error."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


class Listener:
    """Jobs, as far as a reporter sees it."""

    def __init__(self) -> None:
        self.heard: list[pb.ReportProgressRequest] = []
        self.refusals: list[grpc.StatusCode] = []
        self.stop = False

    def __call__(self, report: pb.ReportProgressRequest) -> pb.ReportProgressResponse:
        if self.refusals:
            raise Refusal(self.refusals.pop(0))
        self.heard.append(report)
        return pb.ReportProgressResponse(stop=self.stop, reason="cancelled")


@pytest.fixture
def jobs() -> Listener:
    return Listener()


def test_a_report_tells_what_is_new(jobs: Listener) -> None:
    """Percent, words, metrics, lines and results arrive, numbered from 1, of one attempt."""
    reporter = Reporter("job", "train", jobs)
    reporter.flush()
    reporter.progress(0.25, "Step 1")
    reporter.metrics(1, {"loss": 2.0})
    reporter.line("a line")
    reporter.result(model="kites", version=3)
    reporter.flush()
    reporter.flush()
    first, second, third = jobs.heard
    assert [r.sequence for r in jobs.heard] == [1, 2, 3]
    assert not first.HasField("percent")
    assert (second.percent, second.message, list(second.lines)) == (25.0, "Step 1", ["a line"])
    assert second.metrics[0].values["loss"] == 2.0
    assert second.result.version == 3
    assert not third.metrics
    assert len({UUID(r.attempt) for r in jobs.heard}) == 1


def test_a_report_that_failed_is_sent_again_before_newer_ones(jobs: Listener) -> None:
    """Nothing is lost while Jobs is away, and nothing comes in another order."""
    reporter = Reporter("job", "train", jobs)
    reporter.metrics(1, {"loss": 1.0})
    jobs.refusals = [grpc.StatusCode.UNAVAILABLE] * 2
    assert not reporter.flush()
    reporter.metrics(2, {"loss": 0.5})
    assert not reporter.flush()
    assert reporter.flush()
    assert [m.step for r in jobs.heard for m in r.metrics] == [1, 2]
    assert [r.sequence for r in jobs.heard] == [1, 2]


def test_what_piles_up_is_bounded_and_sent_in_parts(jobs: Listener) -> None:
    """A long absence costs old metrics, and no report is larger than the contract allows."""
    reporter = Reporter("job", "train", jobs)
    for step in range(10_000):
        reporter.metrics(step, {"loss": 1.0})
    assert reporter.flush()
    assert max(len(r.metrics) for r in jobs.heard) <= 256
    steps = [m.step for r in jobs.heard for m in r.metrics]
    assert steps == list(range(10_000 - 4096, 10_000))


def test_a_job_that_is_unknown_there_holds_nothing_up(jobs: Listener) -> None:
    """Its reports are dropped, not kept."""
    reporter = Reporter("job", "train", jobs)
    jobs.refusals = [grpc.StatusCode.NOT_FOUND]
    assert reporter.flush()


def test_the_answer_can_stop_the_task(jobs: Listener) -> None:
    """The work sees it, and may end by itself."""
    reporter = Reporter("job", "train", jobs)
    jobs.stop = True
    reporter.flush()
    assert reporter.is_stopping()


def test_work_that_does_not_end_is_ended(jobs: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process leaves, whatever it is doing."""
    monkeypatch.setattr(module, "INTERVAL_S", 0.01)
    monkeypatch.setattr(module, "STOP_S", 0.01)
    left: list[int] = []
    gone = threading.Event()

    def leave(status: int) -> None:
        left.append(status)
        gone.set()

    reporter = Reporter("job", "train", jobs, leave)
    jobs.stop = True
    reporter.start()
    assert gone.wait(WAIT_S)
    assert left == [module.EXIT_STOPPED]
    reporter.close()


def test_the_error_is_the_last_report(jobs: Listener) -> None:
    """Jobs hears why no repeat can help, after all else."""
    reporter = Reporter("job", "prepare", jobs)
    reporter.line("before")
    reporter.close(("DATASET_INVALID", "line 7 is not JSON"))
    assert [bool(r.HasField("error")) for r in jobs.heard] == [False, True]
    error = jobs.heard[-1].error
    assert (error.reason, error.task) == ("DATASET_INVALID", "prepare")


def test_without_jobs_nothing_is_sent() -> None:
    """Tasks run without anybody who listens."""
    reporter = Reporter("job", "train", None)
    reporter.line("to the log alone")
    assert reporter.flush()
    reporter.close(("X", "y"))
