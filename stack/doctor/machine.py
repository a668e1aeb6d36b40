"""Checks of the machine: Python, disk, memory."""

import platform
import shutil
import sys

import psutil

from stack.doctor.check import FAIL, OK, WARN, Finding
from stack.environment.places import Places
from stack.home import Home

PYTHON_MIN = (3, 11)
DISK_GB_WARN, DISK_GB_FAIL = 2.0, 0.2
MEMORY_GB_WARN = 2.0


def python(places: Places, home: Home) -> Finding:
    """Whether this Python is new enough."""
    words = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info < PYTHON_MIN:
        return Finding("Python", FAIL, words, "Install Python 3.11 or newer.")
    return Finding("Python", OK, words)


def disk(places: Places, home: Home) -> Finding:
    """Whether there is room for models and logs."""
    folder = next(path for path in [home.path, *home.path.parents] if path.is_dir())
    free = shutil.disk_usage(folder).free / 1e9
    words = f"{free:.1f} GB free at {folder}"
    if free >= DISK_GB_WARN:
        return Finding("disk", OK, words)
    verdict = FAIL if free < DISK_GB_FAIL else WARN
    return Finding("disk", verdict, words, "Make room, or set PARLEY_HOME to a larger disk.")


def memory(places: Places, home: Home) -> Finding:
    """Whether there is memory for the engine."""
    free = psutil.virtual_memory().available / 1e9
    words = f"{free:.1f} GB available"
    if free >= MEMORY_GB_WARN:
        return Finding("memory", OK, words)
    return Finding("memory", WARN, words, "Close other programs; a replica takes about 1 GB.")
