"""Has the starter model made on first use, in a process of its own.

`python -m stack.starter FOLDER` is that process: it writes its progress as JSON lines. A process of
its own gives its memory back when it ends, and Ctrl-C ends it whole.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import NoReturn

from stack.errors import StackError
from stack.home import Home
from stack.logs import telling_lines
from stack.progress import Narrator
from stack.supervisor import environment

NAME = "starter model"
LOG = "starter-model"
ENDS_WITHIN_S = 10.0


def is_made(home: Home) -> bool:
    """Whether the starter model is there; it appears whole or not at all."""
    return home.starter_model.is_dir()


def problem(home: Home) -> str:
    """What keeps the starter model from being served; empty when nothing does."""
    from services.serving.model import read_model

    try:
        read_model(home.starter_model, "")
    except (OSError, ValueError, KeyError) as error:
        return str(error)
    return ""


def make(home: Home, narrator: Narrator) -> None:
    """Makes the model in its place. Safe to interrupt and to repeat.

    Raises StackError with the last words of the process when it fails.
    """
    log = home.log(LOG)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "stack.starter", home.starter_model],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=home.run,
            env=environment(home),
        )
        try:
            words = _tell(process, narrator)
        finally:
            _end(process)
    if process.returncode != 0:
        raise StackError(
            "The starter model could not be made.",
            evidence=telling_lines(log),
            mend=f"Whole log: {log}\nTry again with: ./parley up",
        )
    narrator.done(NAME, words)


def _tell(process: subprocess.Popen[str], narrator: Narrator) -> str:
    assert process.stdout is not None  # noqa: S101 (it was asked for)
    last: deque[str] = deque(["made"], maxlen=1)
    with process.stdout as lines:
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                narrator.fraction(NAME, float(told["fraction"]), str(told["message"]))
                last.append(str(told["message"]))
    process.wait()
    return last[0]


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stop(number: int, frame: object) -> NoReturn:
    """Ends by way of every `finally`, so that no half-made folder stays."""
    sys.exit(128 + number)


def _make_here(out: Path) -> None:
    from training.starter import Progress, make_starter_model

    signal.signal(signal.SIGTERM, _stop)
    # What libraries print must not mix with the progress.
    tell = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def show(progress: Progress) -> None:
        told = {"stage": progress.stage, "fraction": progress.fraction}
        tell.write(json.dumps({**told, "message": progress.message}) + "\n")

    make_starter_model(out, progress=show)


if __name__ == "__main__":
    _make_here(Path(sys.argv[1]))
