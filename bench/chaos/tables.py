"""A report as tables for people."""

from rich.table import Table

from bench.chaos.checker import OfFault, Report
from bench.figures import narrow_table

NONE = "-"


def summary_table(report: Report) -> Table:
    """What was kept, and what was not."""
    run = report.run
    table = Table(
        title=f"{run.replicas} replicas, {run.streams} streams, {run.seconds:g} s, seed {run.seed}",
        show_header=False,
    )
    for name, value in (
        ("streams, and tokens", f"{report.streams:,}, {report.tokens:,}"),
        ("broken", str(report.broken)),
        ("with a gap, a repeat, another answer", _three(report)),
        ("cut by a fault that no server can hide", str(report.excused)),
        ("sampled otherwise, without a fault", str(report.flipped)),
        ("migrations, in streams", f"{report.migrations} in {report.migrated}"),
        ("migrations that a drain should have spared", str(report.unwanted)),
        ("longest wait in a stream that migrated, ms p50 / p95 / p99 / max", str(report.stall)),
        ("longest wait in any stream", str(report.stall_all)),
        ("first token", str(report.first_token)),
        ("all promises kept", "yes" if report.holds else "no"),
    ):
        table.add_row(name, value)
    return table


def faults_table(report: Report) -> Table:
    """Each kind of fault, in 80 columns."""
    table = narrow_table(
        "By fault, in seconds: the longest wait of each stream that moved;\n"
        "then the longest from a fault to what the column names"
    )
    for name in (
        "fault",
        "times",
        "moves",
        "p50",
        "p95",
        "p99",
        "max",
        "first\nmove",
        "last by\nsilence",
        "out of\nroutes",
        "well\nagain",
    ):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for one in report.faults:
        table.add_row(*_row(one))
    return table


def _row(one: OfFault) -> tuple[str, ...]:
    stall = one.stall.spread
    waits_ms = (stall.p50_ms, stall.p95_ms, stall.p99_ms, one.stall.longest_ms)
    waits = (f"{wait_ms / 1000:.2f}" if one.migrated else NONE for wait_ms in waits_ms)
    times = (one.noticed_s, one.silent_s, one.out_s, one.back_s)
    seconds = (NONE if value is None else f"{value:.2f}" for value in times)
    return one.fault, str(one.blows), str(one.migrations), *waits, *seconds


def _three(report: Report) -> str:
    return f"{report.gaps}, {report.repeats}, {report.different}"
