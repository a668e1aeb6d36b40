"""What `./parley test` runs: ruff, buf lint, the page's own checks, then pytest, in two parts."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stack.environment.page import find_node
from stack.environment.places import Places
from stack.words import out

CHECK_TIMEOUT_S = 600
# Most tests wait more than they compute, so that some run at a time; the rest follow one by one.
PARTS = (
    ("-m", "not alone", "--numprocesses=3", "--no-loadscope-reorder"),
    ("-m", "alone"),
)
Check = Callable[[Places], str]


def run(places: Places, pytest_arguments: Sequence[str]) -> int:
    """Runs all; the exit code is 0 when all passed. The last line is pytest's own summary, or the
    checks that failed before it."""
    if pytest_arguments:
        return _pytest(places, pytest_arguments)
    failed = _before_the_tests(places)
    codes = [_part(places, part) for part in PARTS]
    if failed:
        out.print(f"[bold red]Failed before the tests:[/] {', '.join(failed)}")
    return next(filter(None, codes), 1 if failed else 0)


def _part(places: Places, arguments: Sequence[str]) -> int:
    """Runs a part in a folder of a short name, which is kept when a test fails: each process gets a
    folder below pytest's own, and a socket's path holds 107 bytes (unix(7))."""
    scratch = tempfile.mkdtemp(prefix="t-")
    code = _pytest(places, [*arguments, f"--basetemp={scratch}"])
    if code == 0:
        shutil.rmtree(scratch, ignore_errors=True)
    return code


def _pytest(places: Places, arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=places.root, check=False).returncode


def _before_the_tests(places: Places) -> list[str]:
    checks: dict[str, Check] = {"ruff": _ruff, "buf lint": _buf, "chat page": _page}
    failed = []
    for name, check in checks.items():
        began = time.monotonic()
        said = check(places)
        verdict = "[bold red]failed[/]" if said else "ok"
        out.print(f"{name:<10} {verdict}, {time.monotonic() - began:.1f} s")
        if said:
            failed.append(name)
            out.print(said, markup=False)
    return failed


def _ruff(places: Places) -> str:
    return _said([sys.executable, "-m", "ruff", "check", "--quiet", "."], places.root)


def _buf(places: Places) -> str:
    """Lints the protos as a descriptor set, which holds their comments."""
    with tempfile.TemporaryDirectory() as scratch:
        protos = str(Path(scratch, "protos.binpb"))
        described = _said([sys.executable, "-m", "stack.stubs", "--describe", protos], places.root)
        buf = str(Path(sys.prefix, "bin", "buf"))
        lint = [buf, "lint", protos, "--path", "parley", "--config", "buf.yaml"]
        return described or _said(lint, places.root)


def _page(places: Places) -> str:
    node = find_node(places)
    command = [*node.npm, "run", "check", "--silent"]
    return _said(command, places.chat, {**os.environ, **node.environment()})


def _said(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """Empty when the command succeeds, else all that it said."""
    run = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CHECK_TIMEOUT_S,
        check=False,
    )
    said = (run.stdout + run.stderr).strip()
    return "" if run.returncode == 0 else said or f"It ended with {run.returncode}."
