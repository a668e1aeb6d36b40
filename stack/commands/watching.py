"""A job as it goes on: live on a terminal, plain lines elsewhere. Ctrl-C leaves it running."""

import time
from typing import TYPE_CHECKING, Any, Protocol

from rich.markup import escape

from stack.words import CONTROL, NAME_WIDTH, ago, talk

if TYPE_CHECKING:
    from parley.jobs.v1 import jobs_pb2 as pb
    from rich.console import RenderableType

    from stack.job_client import Jobs
    from stack.job_progress import Progress

QUARTER = 25.0
SPARK_WIDTH = 32
BAR_WIDTH = 24
REFRESHES_PER_S = 4


def watch(jobs: "Jobs", job: "pb.Job", *, quiet: bool = False) -> "Progress":
    """Follows a job to its end, and shows it unless `quiet`. Raises StackError."""
    from stack.job_progress import Progress

    progress = Progress(job)
    screen = _screen(progress, quiet)
    try:
        for message in jobs.watch(job.id):
            progress.take(message)
            screen.told(message)
    except KeyboardInterrupt:
        screen.close()
        talk.print(
            f"\n  It goes on. Watch it with:   ./parley jobs watch {job.id}\n"
            f"  Or end it with:              ./parley jobs cancel {job.id}",
            markup=False,
        )
        raise
    finally:
        screen.close()
    return progress


class _Screen(Protocol):
    def told(self, message: "pb.WatchJobResponse") -> None: ...

    def close(self) -> None: ...


def _screen(progress: "Progress", quiet: bool) -> _Screen:
    if quiet:
        return _Nothing()
    return _Live(progress) if talk.is_terminal else _Lines(progress)


class _Nothing:
    """For programs."""

    def told(self, message: "pb.WatchJobResponse") -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Has nothing to end."""


class _Lines:
    """A line for each task that begins or ends, and at each quarter of the whole."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._told = 0.0
        _line(_kind(progress), f"job {progress.job.id}")

    def told(self, message: "pb.WatchJobResponse") -> None:
        """One line, where there is something to say."""
        event = message.event
        if event.HasField("task"):
            if words := _task_words(event.task):
                _line(event.task.name, words)
        elif event.HasField("progress") and self._told + QUARTER <= event.progress.percent < 100:
            self._told = event.progress.percent // QUARTER * QUARTER
            words = [
                f"{event.progress.percent:3.0f}%",
                event.progress.message,
                _loss(self._progress),
            ]
            _line(self._progress.task or "job", "  ".join(filter(None, words)))

    def close(self) -> None:
        """Has nothing to end."""


class _Live:
    """A bar, the task, and the loss; drawn anew a few times a second."""

    def __init__(self, progress: "Progress") -> None:
        from rich.live import Live

        self._progress = progress
        self._began_s = time.monotonic()
        self._live: Live | None = Live(
            get_renderable=self._draw,
            console=talk,
            transient=True,
            refresh_per_second=REFRESHES_PER_S,
        )
        self._live.start()

    def told(self, message: "pb.WatchJobResponse") -> None:
        """A finished line for each task that is done, above the moving ones."""
        task = message.event.task
        if message.event.HasField("task") and (words := _task_words(task, begun=False)):
            _line(task.name, words)

    def close(self) -> None:
        """Takes the moving lines away. Safe to repeat."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now, grid = self._progress, Table.grid(padding=(0, 2))
        head = Table.grid(padding=(0, 2))
        eta = f"about {ago(now.eta_s)} left" if now.eta_s is not None else ""
        since = ago(time.monotonic() - self._began_s)
        bar = ProgressBar(total=100, completed=now.percent, width=BAR_WIDTH)
        head.add_row(bar, f"{now.percent:3.0f}%", Text(eta or since, style="dim"))
        grid.add_row(Text(f"  {_kind(now):<{NAME_WIDTH}}"), head)
        if now.task or now.message:
            words = now.message.translate(CONTROL)
            grid.add_row(Text(f"  {now.task:<{NAME_WIDTH}}"), Text(words, overflow="ellipsis"))
        if now.losses:
            grid.add_row(Text(f"  {'loss':<{NAME_WIDTH}}"), Text(_loss(now)))
        return grid


def _loss(now: "Progress") -> str:
    from stack.job_progress import sparkline

    if not now.losses:
        return ""
    speed = f"   {now.speed:,.0f} tokens/s" if now.speed else ""
    return f"{sparkline(now.losses, SPARK_WIDTH)}  {now.losses[-1]:.4g}{speed}"


def _task_words(task: "pb.JobTask", begun: bool = True) -> str:
    from parley.jobs.v1 import jobs_pb2 as pb

    if task.state == pb.TASK_STATE_SUCCEEDED:
        took_s = task.end_time.ToNanoseconds() - task.start_time.ToNanoseconds()
        whole = task.HasField("start_time") and task.HasField("end_time")
        return f"done in {ago(took_s / 1e9)}" if whole else "done"
    again = f", attempt {task.attempts}" if task.attempts > 1 else ""
    words: dict[Any, str] = {
        pb.TASK_STATE_RETRYING: "failed; it is tried again",
        pb.TASK_STATE_FAILED: "failed",
        pb.TASK_STATE_RUNNING: f"begun{again}" if begun else "",
    }
    return words.get(task.state, "")


def _kind(progress: "Progress") -> str:
    return progress.job.spec.WhichOneof("work") or "job"


def _line(name: str, words: str) -> None:
    words = words.translate(CONTROL)
    talk.print(f"  {escape(name):<{NAME_WIDTH}} {escape(words)}")
