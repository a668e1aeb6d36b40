"""Builds the S3 servers that are written in Go, once per version, into the user's cache."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

BUILD_S_MAX = 600


@dataclass(frozen=True)
class GoProgram:
    """A program that `go install` makes."""

    name: str
    module: str
    version: str

    @property
    def folder(self) -> Path:
        """Where this version lies when it is built."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "parley" / "go-bin" / f"{self.name}-{self.version}"


VERSITYGW = GoProgram("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
MINIO = GoProgram("minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")


def built(program: GoProgram) -> str:
    """The path of a program, which is built first where it is not yet.

    Skips the test where that cannot be done.
    """
    path = program.folder / program.name
    why_not = "" if path.exists() else _build(program)
    if why_not:
        pytest.skip(why_not)
    return str(path)


@cache
def _build(program: GoProgram) -> str:
    """Builds a program and says why it could not, if so; tries once in a run of the tests.

    A build that is cut off at the bound goes on from there in the next run.
    """
    go = shutil.which("go")
    if not go:
        return f"there is no Go toolchain to build {program.name} with"
    program.folder.mkdir(parents=True, exist_ok=True)
    command = ["nice", "-n", "10", go, "install", f"{program.module}@{program.version}"]
    environment = {**os.environ, "GOBIN": str(program.folder)}
    try:
        made = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=BUILD_S_MAX
        )
    except subprocess.TimeoutExpired:
        return f"building {program.name} takes more than {BUILD_S_MAX} s here"
    if made.returncode:
        last = (made.stderr.strip().splitlines() or ["no word of why"])[-1]
        return f"{program.name} cannot be built here: {last}"
    return ""
