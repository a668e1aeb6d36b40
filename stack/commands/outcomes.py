"""What came of a job, in words, with the next command; and the exit code that it ends with."""

from typing import TYPE_CHECKING

import typer

from stack.errors import Exit, StackError
from stack.plain import plain
from stack.words import out, print_json, print_rows, say, talk

if TYPE_CHECKING:
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack.job_progress import Progress

MEASURED, CHAMPION = "eval.", "champion."
FIRST = ("eval.exact_match", "eval.perplexity", "eval.latency_ms")
ROWS_MAX = 12


def tell(progress: "Progress", as_json: bool) -> None:
    """Says how a job has ended. Raises StackError where it failed or was cancelled, and
    typer.Exit where a gate refused."""
    from parley.jobs.v1 import jobs_pb2 as pb

    job = progress.job
    if as_json:
        print_json(plain(job))
    if job.state == pb.JOB_STATE_FAILED:
        raise _failure(job, () if as_json else tuple(progress.lines))
    if job.state == pb.JOB_STATE_CANCELLED:
        raise StackError(
            "The job was cancelled.", mend=f"Run it again: ./parley jobs retry {job.id}"
        )
    if not as_json:
        _say_result(job)
    if job.result.promotion == pb.PROMOTION_OUTCOME_REFUSED:
        raise typer.Exit(Exit.REFUSED)


def rows_of_metrics(job: "pb.Job") -> list[tuple[str, str, str]]:
    """What was measured, with the champion's value beside it: name, value, champion's value.

    The first of many; `--json` has them all.
    """
    names = [name for name in job.metrics if name.startswith(MEASURED)]
    names.sort(key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    rows = []
    for name in names[:ROWS_MAX]:
        short = name.removeprefix(MEASURED)
        others = (f"{CHAMPION}{name}", f"{CHAMPION}{short}")
        before = next((job.metrics[one] for one in others if one in job.metrics), None)
        rows.append((short, f"{job.metrics[name]:.4g}", "-" if before is None else f"{before:.4g}"))
    return rows


def _failure(job: "pb.Job", lines: tuple[str, ...]) -> StackError:
    at = f" in {job.error.task}" if job.error.task else ""
    return StackError(
        f"The job failed{at}: {job.error.message or job.message or 'nothing was said'}",
        mend=f"Its log: ./parley jobs logs {job.id}\nRun it again: ./parley jobs retry {job.id}",
        evidence=lines,
    )


def _say_result(job: "pb.Job") -> None:
    result = job.result
    place = f"{result.model}@{result.version}" if result.version else result.model
    say(_sentence(job, place))
    if rows := rows_of_metrics(job):
        columns = 3 if any(champion != "-" for _, _, champion in rows) else 2
        out.print()
        print_rows(("METRIC", place, "CHAMPION BEFORE")[:columns], [row[:columns] for row in rows])
    if commands := _next(job, place):
        talk.print("\nNext: " + "\n      ".join(commands), markup=False)


def _sentence(job: "pb.Job", place: str) -> str:
    from parley.jobs.v1 import jobs_pb2 as pb

    result = job.result
    if result.promotion == pb.PROMOTION_OUTCOME_PROMOTED:
        return f"{place} is the champion."
    if result.promotion == pb.PROMOTION_OUTCOME_WAITING:
        return f"{place} is registered, and its promotion waits for an approval."
    if result.promotion == pb.PROMOTION_OUTCOME_REFUSED:
        return f"{place} is registered, but was not promoted: {result.promotion_reason}"
    if result.output:
        return f"The answers are in {result.output}"
    work = job.spec.WhichOneof("work")
    if work == "evaluate":
        return f"{place} was measured."
    return f"{place} is registered." if result.version else "Done."


def _next(job: "pb.Job", place: str) -> list[str]:
    from parley.jobs.v1 import jobs_pb2 as pb

    result = job.result
    commands = []
    if result.promotion == pb.PROMOTION_OUTCOME_PROMOTED:
        commands.append(f"./parley chat --model {result.model}")
    elif result.promotion == pb.PROMOTION_OUTCOME_WAITING:
        commands.append(f"./parley models approve {result.promotion_id} --as NAME")
    elif result.promotion == pb.PROMOTION_OUTCOME_REFUSED:
        commands.append(f"./parley models policy {result.model}")
    elif result.version and job.spec.WhichOneof("work") != "evaluate":
        commands.append(f"./parley models promote {place}")
    if result.version:
        commands.append(f"./parley models show {place}")
    if result.dataset_digest:
        commands.append(f"./parley lineage {result.dataset_digest}")
    return commands
