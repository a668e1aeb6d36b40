"""Numbers between bounds, as regular expressions over their decimal texts. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any

from services.serving.regex_grammar import GrammarError

BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
# Larger integers do not survive in most readers of JSON.
BOUND_MAX = 10**15
INTEGER_MAX = 10**16 - 1
FRACTION = r"(\.[0-9]{1,15})?"


@dataclass(frozen=True, slots=True)
class _Span:
    """From `low` to `high`, None for no end; an open end is itself left out."""

    low: int | None
    high: int | None
    open_low: bool
    open_high: bool


def bounded_number(given: Mapping[str, Any], *, whole: bool) -> str:
    """A regular expression for the numbers within JSON Schema's bounds. Raises GrammarError.

    Bounds of numbers that are not whole must themselves be whole.
    """
    low, open_low = _tightest(given, "minimum", "exclusiveMinimum", max)
    high, open_high = _tightest(given, "maximum", "exclusiveMaximum", min)
    for bound in (low, high):
        if bound is not None and abs(bound) > BOUND_MAX:
            raise GrammarError(f"bounds go to {BOUND_MAX:g}")
        if bound is not None and bound != int(bound) and not whole:
            raise GrammarError("bounds of a number must be whole to be held")
    if whole:
        low = None if low is None else (floor(low) + 1 if open_low else ceil(low))
        high = None if high is None else (ceil(high) - 1 if open_high else floor(high))
        open_low = open_high = False
    options = _signed(_Span(low, high, open_low, open_high), whole)
    if not options:
        raise GrammarError("no number is within the bounds")
    return "|".join(options)


def _tightest(
    given: Mapping[str, Any], closed: str, opened: str, pick: Callable[..., Any]
) -> tuple[Any, bool]:
    """The bound that counts, and whether it is open."""
    bounds = [(given[key], key == opened) for key in (closed, opened) if key in given]
    if not bounds:
        return None, False
    tightest = pick(bound for bound, _ in bounds)
    return tightest, any(is_open for bound, is_open in bounds if bound == tightest)


def _signed(span: _Span, whole: bool) -> list[str]:
    unsigned = _integers if whole else _decimals
    options = []
    if span.high is None or span.high >= 0:
        at_zero = span.low is None or span.low < 0
        options += unsigned(replace(span, low=0, open_low=False) if at_zero else span)
    if span.low is None or span.low < 0:
        end = None if span.low is None else -span.low
        if span.high is None or span.high >= 0:
            mirror = _Span(int(whole), end, not whole, span.open_low)
        else:
            mirror = _Span(-span.high, end, span.open_high, span.open_low)
        options += [f"-{expression}" for expression in unsigned(mirror)]
    return options


def _decimals(span: _Span) -> list[str]:
    """The numbers of a span from 0 up, with or without a fraction."""
    low, high = span.low or 0, span.high
    options = []
    if span.open_low and (high is None or low < high):
        options.append(rf"{low}\.[0-9]{{0,14}}[1-9]")
    inside = _Span(low + span.open_low, None if high is None else high - 1, False, False)
    options += [f"{expression}{FRACTION}" for expression in _integers(inside)]
    if high is not None and not span.open_high and low + span.open_low <= high:
        options.append(rf"{high}(\.0{{1,15}})?")
    return options


def _integers(span: _Span) -> list[str]:
    """The integers of a closed span from 0 up, by their number of digits."""
    low = span.low or 0
    end = INTEGER_MAX if span.high is None else span.high
    options = []
    while low <= end:
        top = min(end, 10 ** len(str(low)) - 1)
        options.append(_digits(str(low), str(top)))
        low = top + 1
    return options


def _digits(low: str, high: str) -> str:
    """Texts of as many digits as `low` and `high` have, from the one to the other."""
    if low == high:
        return low
    rest = len(low) - 1
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return f"[{low[0]}-{high[0]}][0-9]{{{rest}}}"
    if low[0] == high[0]:
        return low[0] + _digits(low[1:], high[1:])
    options = [low[0] + _digits(low[1:], "9" * rest), high[0] + _digits("0" * rest, high[1:])]
    if int(high[0]) - int(low[0]) > 1:
        options.append(f"[{int(low[0]) + 1}-{int(high[0]) - 1}][0-9]{{{rest}}}")
    return f"({'|'.join(options)})"
