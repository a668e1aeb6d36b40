"""What `./parley` does before the command line runs: set up what the command needs, then exec it.

Standard library only. Help and version are answered here when there is no environment yet, so that
a look at `./parley --help` installs nothing.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from stack.environment import packages, page, stamps
from stack.environment.places import Places
from stack.environment.steps import Steps
from stack.errors import Exit, StackError

MAKES_PAGE = {"up", "test", "bench"}
MAKES_AIRFLOW = {"up", "test"}
MAKES_PACKAGES = MAKES_PAGE | {"lock"}
ASKS_HELP = {"-h", "--help"}
WITHOUT = "--without"

USAGE = """\
Usage: ./parley COMMAND

  ./parley up       set up on first use, start everything, and show the chat page's address
  ./parley test     run every check and test
  ./parley doctor   find what is wrong, and how to mend it
  ./parley down     stop everything

`./parley up` has not run in this checkout yet. It takes some minutes the first time, installs
nothing outside the checkout and the state folder, and shows every command afterwards:
./parley --help
"""


def main(arguments: list[str]) -> int:
    """Sets up what the command needs and becomes the command line. Returns only on failure."""
    places = Places.find()
    try:
        return _main(places, arguments)
    except StackError as error:
        sys.stderr.write("\n".join(error.lines()) + "\n")
        return error.code
    except OSError as error:
        sys.stderr.write(f"parley: {error.strerror or error}: {error.filename or places.root}\n")
        return Exit.SETUP
    except KeyboardInterrupt:
        sys.stderr.write("parley: stopped. Run it again to go on; nothing is half made.\n")
        return Exit.INTERRUPTED


def _main(places: Places, arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    if command in MAKES_PACKAGES and not ASKS_HELP & set(arguments):
        prepare(places, command, jobs=_wants_jobs(arguments))
    elif not stamps.read(places.stamp).get("parley"):
        return _without_environment(places, command)
    command_line = [str(places.python), "-P", "-m", "stack", *arguments]
    return os.execv(places.python, command_line)  # noqa: S606 (no shell wanted)


def prepare(places: Places, command: str, *, jobs: bool = True) -> None:
    """Brings up to date what `command` needs: a few milliseconds when nothing changed."""
    if not missing(places, command, jobs=jobs):
        return
    with _one_at_a_time(places):
        _make(places, missing(places, command, jobs=jobs), command)


def _wants_jobs(arguments: list[str]) -> bool:
    """Whether `up` is to start Airflow, which needs an environment of its own."""
    pairs = pairwise(arguments)
    return f"{WITHOUT}=jobs" not in arguments and (WITHOUT, "jobs") not in pairs


def missing(places: Places, command: str, *, jobs: bool = True) -> set[str]:
    """The parts that `command` needs and that are not up to date."""
    stamp = stamps.read(places.stamp)
    parts = {lock for lock in _locks(places, command) if stamp.get(lock) != _now(places, lock)}
    if stamp.get("stubs") != stamps.stubs(places):
        parts.add("stubs")
    if command in MAKES_PAGE and not page.is_built(places):
        parts.add("page")
    if command == "test" and not page.has_packages(places):
        parts.add("page")
    if jobs and command in MAKES_AIRFLOW and not has_airflow(places):
        parts.add("airflow")
    return parts


def has_airflow(places: Places) -> bool:
    """Whether Airflow's environment is there and holds what its lock pins."""
    airflow = places.airflow
    return stamps.read(airflow.stamp).get("airflow") == _now(airflow, "airflow")


def _locks(places: Places, command: str) -> list[str]:
    """The locks to hold: those of the tests too, once they were asked for."""
    tests = command == "test" or "test" in stamps.read(places.stamp)
    return ["parley", "test"] if tests else ["parley"]


def _now(places: Places, lock: str) -> str:
    return stamps.packages(places, lock)


def _make(places: Places, parts: set[str], command: str) -> None:
    if not parts:
        return
    steps = Steps(places.log)
    if not stamps.read(places.stamp).get("parley"):
        sys.stderr.write(f"Setting up Parley in {places.venv}; this happens once.\n")
    else:
        sys.stderr.write("Bringing Parley's environment up to date.\n")
    if parts & {"parley", "test"}:
        packages.make(places, _locks(places, command), steps)
    if "stubs" in parts:
        made_from = stamps.stubs(places)
        with steps.step("gRPC stubs"):
            steps.run([places.python, "-m", "stack.stubs"], timeout_s=120, cwd=places.root)
        stamps.write(places.stamp, stubs=made_from)
    if "page" in parts:
        page.make(places, steps)
    if "airflow" in parts:
        packages.make(places.airflow, ["airflow"], steps, "Airflow's")


@contextmanager
def _one_at_a_time(places: Places) -> Iterator[None]:
    """Holds the checkout's lock, so that two set-ups at once do the work once."""
    handle = os.open(places.root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("Another set-up is under way in this checkout; waiting for it.\n")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _without_environment(places: Places, command: str) -> int:
    if command in {"--version", "version"}:
        print(f"parley {places.version()}")
        return Exit.OK
    if command in {"", "help"} | ASKS_HELP:
        print(USAGE, end="")
        return Exit.OK if command else Exit.USAGE
    raise StackError(
        "Parley is not set up in this checkout yet, so nothing of it runs.",
        mend="Start it with: ./parley up",
        code=Exit.NOT_RUNNING,
    )
