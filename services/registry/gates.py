"""Whether what was measured of a candidate passes a model's gates. Pure.

A candidate and the champion are compared on one dataset only: the first of the candidate's on which
the champion was measured as well. Numbers are compared as they are written in decimal, so that 0.85
is no worse than 0.90 by more than 0.05, whatever binary fractions make of it.
"""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal

from services.registry.model import Evaluation, Gate, Policy

DIGITS = 12

Measured = Sequence[Evaluation]
"""What was measured of one version; what comes first counts first."""


def refusals(policy: Policy, candidate: Measured, champion: Measured | None) -> list[str]:
    """Says in words why each gate that does not pass refuses; empty when all pass.

    `champion` is None while there is none: then only floors are asked for.
    """
    return [words for gate in policy.gates for words in _refuse(gate, candidate, champion)]


def _refuse(gate: Gate, candidate: Measured, champion: Measured | None) -> Iterator[str]:
    measured = _having(candidate, gate.metric)
    if not measured:
        yield f"{gate.metric} was not measured"
        return
    _, value = measured[0]
    if gate.floor is not None and _worse_by(gate, value, Decimal(repr(gate.floor))) > 0:
        bound = "above" if gate.lower_is_better else "below"
        yield f"{gate.metric} is {value}, {bound} {gate.floor}"
    if gate.margin is not None and champion is not None:
        yield from _compare(gate, gate.margin, measured, _having(champion, gate.metric))


def _compare(
    gate: Gate,
    margin: float,
    candidate: list[tuple[str, Decimal]],
    champion: list[tuple[str, Decimal]],
) -> Iterator[str]:
    known = [(digest, value) for digest, value in candidate if digest]
    for digest, value in known:
        best = next((found for on, found in champion if on == digest), None)
        if best is None:
            continue
        if (worse := _worse_by(gate, value, best)) > Decimal(repr(margin)):
            yield f"{gate.metric} is {value}, worse than the champion's {best} by {worse}"
        return
    if known:
        yield (
            f"{gate.metric} of the champion was not measured on the candidate's evaluation dataset "
            f"{known[0][0][:DIGITS]}: measure it there, and record that with RecordEvaluation"
        )
    else:
        yield (
            f"{gate.metric} was measured on an unknown dataset: measure the candidate and the "
            "champion on one dataset, and record both with RecordEvaluation"
        )


def _having(measured: Measured, metric: str) -> list[tuple[str, Decimal]]:
    """The datasets on which a metric was measured, and its values there."""
    return [
        (one.evaluation_digest, Decimal(repr(float(value))))
        for one in measured
        if (value := one.metrics.get(metric)) is not None and math.isfinite(value)
    ]


def _worse_by(gate: Gate, value: Decimal, other: Decimal) -> Decimal:
    return value - other if gate.lower_is_better else other - value
