"""How far a job has come, folded from its messages: what a screen shows, and nothing of screens.

Pure: the clock is that of the events.
"""

import itertools
from collections import deque
from collections.abc import Iterable

from parley.jobs.v1 import jobs_pb2 as pb

BARS = "▁▂▃▄▅▆▇█"
LOSSES_MAX = 2000
LINES_MAX = 8
LOSS, SPEED = "loss", "tokens_per_s"
# An estimate needs this much of the way, and this long, behind it.
ETA_PERCENT_MIN, ETA_S_MIN = 5.0, 5.0
ETA_WINDOW_S = 60.0


class Progress:
    """One job as it looks now. Feed it with each message of a watch, in order."""

    def __init__(self, job: pb.Job) -> None:
        self.job = job
        self.percent = job.percent
        self.message = job.message
        self.task = next((one.name for one in job.tasks if one.state == pb.TASK_STATE_RUNNING), "")
        self.losses: deque[float] = deque(maxlen=LOSSES_MAX)
        self.lines: deque[str] = deque(maxlen=LINES_MAX)
        self.speed = job.metrics.get(SPEED)
        self._way: deque[tuple[float, float]] = deque()

    def take(self, message: pb.WatchJobResponse) -> None:
        """Takes the next message."""
        if message.HasField("job"):
            self.job = message.job
            return
        event = message.event
        match event.WhichOneof("what"):
            case "task":
                self._take_task(event.task)
            case "progress":
                self._take_progress(event)
            case "metrics":
                self._take_metrics(event.metrics)
            case "line":
                self.lines.append(event.line.text)

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the pace of the last minute; None while that would be a guess."""
        if len(self._way) < 2:
            return None
        (first_s, first), (last_s, last) = self._way[0], self._way[-1]
        if last_s - first_s < ETA_S_MIN or last <= first or not ETA_PERCENT_MIN <= last < 100:
            return None
        return (100 - last) * (last_s - first_s) / (last - first)

    def _take_task(self, task: pb.JobTask) -> None:
        if task.state == pb.TASK_STATE_RUNNING:
            self.task = task.name

    def _take_progress(self, event: pb.JobEvent) -> None:
        self.percent = max(self.percent, event.progress.percent)
        self.message = event.progress.message or self.message
        now_s = event.time.ToNanoseconds() / 1e9
        self._way.append((now_s, event.progress.percent))
        while self._way[0][0] < now_s - ETA_WINDOW_S and len(self._way) > 2:
            self._way.popleft()

    def _take_metrics(self, metrics: pb.MetricsEvent) -> None:
        if LOSS in metrics.values:
            self.losses.append(metrics.values[LOSS])
        if SPEED in metrics.values:
            self.speed = metrics.values[SPEED]


def sparkline(values: Iterable[float], width: int) -> str:
    """Values as bars, the means of equal stretches where there are more than `width`."""
    known = [value for value in values if value - value == 0]  # neither NaN nor infinite
    if not known:
        return ""
    count = min(width, len(known))
    cuts = [len(known) * index // count for index in range(count + 1)]
    means = [sum(known[a:b]) / (b - a) for a, b in itertools.pairwise(cuts)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in means)
