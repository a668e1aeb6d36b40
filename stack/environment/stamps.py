"""Digests of what each part of the environment is made from, and the stamp that remembers them.

A part is up to date when its digest is in the stamp; a stamp is written after its part is made, so
an interrupted set-up makes that part again. Standard library only.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from stack.environment.places import Places


def digest(paths: Iterable[Path], *words: str) -> str:
    """SHA-256 over the names and contents of `paths`, in order, and over `words`."""
    total = hashlib.sha256()
    for word in words:
        total.update(word.encode() + b"\0")
    for path in paths:
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def packages(places: Places, lock: str) -> str:
    """What the installed packages of `lock` depend on: the lock, the Python, and the places."""
    real = Path(os.path.realpath(places.python))
    size = real.stat().st_size if real.exists() else 0
    return digest([places.lock(lock)], str(places.root), str(places.venv), str(real), str(size))


def stubs(places: Places) -> str:
    """What the gRPC stubs depend on: protos, the generator, and the packages that generate."""
    protos = sorted((places.root / "protos").rglob("*.proto"))
    maker = places.root / "stack" / "stubs.py"
    return digest([*protos, maker, places.lock("parley")], str(places.venv))


def page_packages(places: Places) -> str:
    """What chat/node_modules depends on."""
    return digest([places.chat / "package.json", places.chat / "package-lock.json"])


def page(places: Places) -> str:
    """What the built page depends on: its sources, its build and its packages."""
    sources = sorted(path for path in (places.chat / "src").rglob("*") if path.is_file())
    build = [places.chat / name for name in ("build.mjs", "tsconfig.json")]
    return digest([*sources, *build], page_packages(places))


def read(path: Path) -> dict[str, str]:
    """The stamp at `path`; empty when there is none, or none that can be read."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write(path: Path, **digests: str) -> None:
    """Adds `digests` to the stamp at `path`, in one step."""
    stamp = {**read(path), **digests}
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
