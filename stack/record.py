"""What runs here, as written to stack.json: read by every command, written by `up` and `scale`."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from stack.home import Home
from stack.keys import write_private
from stack.plan import Plan

FORMAT = 1
STARTING, RUNNING = "starting", "running"


@dataclass(frozen=True)
class Record:
    """A plan and how far it got. `since` is an ISO time in UTC."""

    plan: Plan
    phase: str
    since: str


def write(plan: Plan, phase: str) -> None:
    """Records the plan, whole or not at all."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    values = {"format": FORMAT, "phase": phase, "since": since, "plan": plan.to_json()}
    write_private(plan.home.record, json.dumps(values, indent=1) + "\n")


def read(home: Home) -> Record | None:
    """The record of `home`; None when there is none, or none that can be read."""
    try:
        values = json.loads(home.record.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            return None
        return Record(Plan.from_json(values["plan"]), values["phase"], values["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
