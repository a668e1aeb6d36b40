"""A promotion in steps, as people ask for it and watch it; Ctrl-C leaves it running."""

import re
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import typer

from stack.errors import Exit, StackError
from stack.progress import Narrator, Silent
from stack.words import NAME_WIDTH, Teller, ago, say, talk

if TYPE_CHECKING:
    from parley.registry.v1 import canary_pb2
    from parley.registry.v1 import registry_pb2 as pb

    from stack.registry import Registry

POLL_S = 0.5
AWAY_S = 120.0
STEP = "60s"
# What a verdict begins with while a step cannot end: worth a line where nothing moves.
HELD = ("held", "waiting", "the mesh")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_PERCENT_MAX = 100


def asked(steps: str | None, step: str | None) -> "canary_pb2.Canary | None":
    """The canary that options ask for; None where they ask for none. Raises typer.BadParameter."""
    if steps is None:
        if step is not None:
            raise typer.BadParameter("it goes with --canary 1,10,50,100", param_hint="--step")
        return None
    from parley.registry.v1 import canary_pb2

    percents = [part.strip() for part in steps.split(",")]
    if not all(part.isdecimal() and 0 < int(part) <= _PERCENT_MAX for part in percents):
        raise typer.BadParameter(
            f"{steps!r} is no list of percents, for example 1,10,50,100", param_hint="--canary"
        )
    canary = canary_pb2.Canary(steps=[int(part) for part in percents])
    canary.step_duration.FromNanoseconds(round(_seconds(step or STEP) * 1e9))
    return canary


def running(model: "pb.Model") -> "pb.Promotion | None":
    """The model's canary that is under way."""
    from parley.registry.v1 import registry_pb2 as pb

    return next((one for one in model.waiting if one.state == pb.PROMOTION_STATE_CANARY), None)


def words(promotion: "pb.Promotion") -> str:
    """How a canary is doing, in a line."""
    now = promotion.canary
    at = f"{now.weight} % of the traffic (step {now.step + 1} of {len(now.canary.steps)})"
    return f"{at}: {now.verdict}" if now.verdict else at


def watch(known: "Registry", promotion: "pb.Promotion", narrator: Narrator) -> "pb.Promotion":
    """Watches a canary to its end; gives it as it is then. Raises StackError."""
    try:
        with closing(narrator):
            return _watch(lambda: _look(known, promotion.id), promotion, narrator)
    except KeyboardInterrupt:
        narrator.note("It goes on by itself.")
        narrator.note(f"Follow it:  ./parley models watch {promotion.model}")
        narrator.note(f"End it:     ./parley models rollback {promotion.model}")
        raise


def tell_running(promotion: "pb.Promotion") -> None:
    """Says that a canary goes on, for those who do not wait."""
    name = promotion.model
    say(promotion.id)
    talk.print(f"{name}@{promotion.number} takes {words(promotion)}", markup=False)
    talk.print(f"\nNext: ./parley models watch {name}", markup=False)


def tell_rolled_back(promotion: "pb.Promotion", *, asked_for: bool) -> None:
    """Says that the champion has all traffic again. Raises typer.Exit unless that was asked for."""
    name = promotion.model
    say(f"{name}@{promotion.number} was rolled back: {promotion.canary.verdict}")
    talk.print(f"{name}@{promotion.previous} takes all traffic again.", markup=False)
    talk.print(f"\nNext: ./parley models audit {name}", markup=False)
    if not asked_for:
        raise typer.Exit(Exit.REFUSED)


def narrator(quiet: bool) -> Narrator:
    """Who shows it."""
    return Silent() if quiet else Teller()


def _watch(
    look: Callable[[], "pb.Promotion"], promotion: "pb.Promotion", narrator: Narrator
) -> "pb.Promotion":
    from parley.registry.v1 import registry_pb2 as pb

    place = f"{promotion.model}@{promotion.number}"
    held = ""
    while True:
        found = look()
        before, now = promotion.canary, found.canary
        if found.state != pb.PROMOTION_STATE_CANARY or now.step != before.step:
            narrator.done(place, f"{before.weight:3} %  {_of_step(before, found)}")
            held = ""
        if found.state != pb.PROMOTION_STATE_CANARY:
            return found
        trouble = next((head for head in HELD if now.verdict.startswith(head)), "")
        if trouble and trouble != held and not talk.is_terminal:
            narrator.done(place, f"{now.weight:3} %  {now.verdict}")
        held = trouble
        narrator.doing(place, _fitting(_moving(now)))
        promotion = found
        time.sleep(POLL_S)


def _of_step(before: "canary_pb2.CanaryProgress", found: "pb.Promotion") -> str:
    """What the step came to that has just ended: the newest words on it."""
    from parley.registry.v1 import registry_pb2 as pb

    if found.state == pb.PROMOTION_STATE_ROLLED_BACK:
        return found.canary.verdict
    ended = found.canary.step == before.step or not before.verdict
    return (found.canary if ended else before).verdict


def _moving(now: "canary_pb2.CanaryProgress") -> str:
    long_s = now.canary.step_duration.ToNanoseconds() / 1e9
    for_s = min(max(0.0, time.time() - now.step_time.ToNanoseconds() / 1e9), long_s)
    steps = f"step {now.step + 1} of {len(now.canary.steps)}"
    return f"{now.weight:3} %  {steps}, {ago(for_s)} of {ago(long_s)}: {now.verdict}"


def _fitting(text: str) -> str:
    """A line that is one line also where the terminal is narrow."""
    room = max(20, talk.width - NAME_WIDTH - 4)
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _look(known: "Registry", promotion_id: str) -> "pb.Promotion":
    """How far it is, through a restart of the registry. Raises StackError."""
    from parley.registry.v1 import canary_pb2

    from stack.mesh import Unanswered

    began = time.monotonic()
    while True:
        try:
            request = canary_pb2.GetPromotionRequest(id=promotion_id)
            return known.call("GetPromotion", request).promotion
        except Unanswered:
            if time.monotonic() - began > AWAY_S:
                raise
            time.sleep(POLL_S)


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 1 <= seconds <= 86400:
        raise typer.BadParameter(
            f"{text!r} is no time from 1s to 24h, for example 60s or 5m", param_hint="--step"
        )
    return seconds


def require(model: "pb.Model") -> "pb.Promotion":
    """The model's canary that is under way. Raises StackError when there is none."""
    found = running(model)
    if found is None:
        raise StackError(
            f"{model.name} has no canary under way.",
            mend=f"Begin one with: ./parley models promote {model.name}@N --canary 1,10,50,100",
        )
    return found
