"""Looks at all that Parley needs and says what is wrong and how to mend it. Changes nothing."""

from collections.abc import Callable

from stack.doctor import environment, machine, state, stores
from stack.doctor.check import FAIL, Finding
from stack.environment.places import Places
from stack.home import Home

Check = Callable[[Places, Home], Finding]

CHECKS: tuple[Check, ...] = (
    machine.python,
    machine.disk,
    machine.memory,
    environment.packages,
    environment.stubs,
    environment.node,
    environment.page,
    environment.envoy,
    environment.airflow,
    state.folder,
    state.secrets,
    state.sockets,
    state.model,
    state.ports,
    state.services,
    state.mesh,
)


def examine(home: Home) -> list[Finding]:
    """Every finding, in order. A check that fails by itself is a finding, too."""
    places = Places.find()
    found = [_run(check, places, home) for check in CHECKS]
    return found + _stores(home)


def _stores(home: Home) -> list[Finding]:
    try:
        return stores.all_of(home)
    except Exception as error:
        words = f"could not be checked: {type(error).__name__}: {error}"
        return [Finding("stores", FAIL, words, "Read the words above; then ./parley up")]


def _run(check: Check, places: Places, home: Home) -> Finding:
    try:
        return check(places, home)
    except Exception as error:
        words = f"could not be checked: {type(error).__name__}: {error}"
        return Finding(check.__name__, FAIL, words, "Read the words above; then ./parley up")
