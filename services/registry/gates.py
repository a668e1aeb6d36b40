"""Whether the evidence for a candidate passes a model's gates. Pure.

Numbers are compared as they are written in decimal, so that 0.85 is no worse than 0.90 by more
than 0.05, whatever binary fractions make of it.
"""

import math
from collections.abc import Iterator
from decimal import Decimal

from services.registry.model import Evidence, Gate, Policy


def refusals(policy: Policy, candidate: Evidence, champion: Evidence | None) -> list[str]:
    """Says in words why each gate that does not pass refuses; empty when all pass.

    `champion` is None while there is none: then only floors are asked for.
    """
    return [words for gate in policy.gates for words in _refuse(gate, candidate, champion)]


def _refuse(gate: Gate, candidate: Evidence, champion: Evidence | None) -> Iterator[str]:
    value = _measured(candidate, gate.metric)
    if value is None:
        yield f"{gate.metric} was not measured"
        return
    if gate.floor is not None and _worse_by(gate, value, Decimal(repr(gate.floor))) > 0:
        bound = "above" if gate.lower_is_better else "below"
        yield f"{gate.metric} is {value}, {bound} {gate.floor}"
    if gate.margin is not None and champion is not None:
        yield from _compare(gate, gate.margin, value, candidate, champion)


def _compare(
    gate: Gate, margin: float, value: Decimal, candidate: Evidence, champion: Evidence
) -> Iterator[str]:
    best = _measured(champion, gate.metric)
    if best is None:
        yield f"{gate.metric} of the champion was not measured"
    elif not candidate.evaluation_digest:
        yield f"{gate.metric} was measured on an unknown dataset"
    elif candidate.evaluation_digest != champion.evaluation_digest:
        yield f"{gate.metric} was not measured on the champion's evaluation dataset"
    elif (worse := _worse_by(gate, value, best)) > Decimal(repr(margin)):
        yield f"{gate.metric} is {value}, worse than the champion's {best} by {worse}"


def _measured(evidence: Evidence, metric: str) -> Decimal | None:
    value = evidence.metrics.get(metric)
    return None if value is None or not math.isfinite(value) else Decimal(repr(float(value)))


def _worse_by(gate: Gate, value: Decimal, other: Decimal) -> Decimal:
    return value - other if gate.lower_is_better else other - value
