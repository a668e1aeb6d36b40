"""The contract: it is clean, it breaks nobody, and the stubs in use are made from it.

What it may not break is the contract of the main branch.
"""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from stack import stubs
from stack.environment.places import ROOT

BUF = Path(sys.executable).with_name("buf")
CONFIG = ROOT / "buf.yaml"
TIMEOUT_S = 60
BASES = ("main", "origin/main", "HEAD")


def buf(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs buf on descriptors, with our rules."""
    return subprocess.run(
        [BUF, *arguments, "--config", CONFIG],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


def git(*arguments: str) -> str | None:
    """What git says here, or None where there is no git, no repository or no such thing."""
    if not shutil.which("git"):
        return None
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.stdout if done.returncode == 0 else None


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Describes the protos below a folder in a file that buf reads."""

    def describe(root: Path) -> Path:
        path = tmp_path_factory.mktemp("described") / "protos.binpb"
        stubs.describe(path, root=root)
        return path

    return describe


@pytest.fixture(scope="module")
def new(described: Callable[[Path], Path]) -> Path:
    """The checkout's contract."""
    return described(stubs.PROTOS)


def test_the_protos_are_clean(tmp_path: Path):
    """Names, packages and comments hold the rules of buf.yaml, as the set-up's own command sees."""
    path = tmp_path / "protos.binpb"
    command = [sys.executable, "-m", "stack.stubs", "--describe", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=TIMEOUT_S)
    found = buf("lint", path, "--path", "parley")
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_protos_break_nobody(new: Path, described: Callable[[Path], Path], tmp_path: Path):
    """Callers built from the main branch's contract can go on."""
    base = next((base for base in BASES if git("rev-parse", "--verify", "-q", base)), None)
    if base is None:
        pytest.skip("there is no git history here to compare with")
    names = (git("ls-tree", "-r", "--name-only", base, "protos/") or "").split()
    if not names:
        pytest.skip(f"{base} has no protos yet")
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(git("show", f"{base}:{name}") or "", encoding="utf-8")
    found = buf("breaking", new, "--against", described(tmp_path / "protos"))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ("  string model = ", "  bytes model = ", "changed type"),
        ("  rpc CountTokens(", "  rpc CountAll(", 'RPC "CountTokens"'),
        ("  uint32 prompt_tokens = ", "  uint32 prompt_count = ", "changed name"),
    ],
)
def test_a_break_is_found(
    new: Path, described: Callable[[Path], Path], tmp_path: Path, was: str, becomes: str, words: str
):
    """The comparison above is no idle one: a change that breaks callers does not pass it."""
    found = buf("breaking", described(_changed(tmp_path, was, becomes)), "--against", new)
    assert found.returncode != 0
    assert words in found.stdout


def test_a_removed_field_is_found(new: Path, described: Callable[[Path], Path], tmp_path: Path):
    """A field that goes without a reservation of its number would be read as another one day."""
    root = _changed(tmp_path, "", "")
    path = next(root.rglob("model_serving.proto"))
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    gone = next(line for line in lines if line.startswith("  uint32 prompt_tokens = "))
    path.write_text(text.replace(gone, "", 1), encoding="utf-8")
    found = buf("breaking", described(root), "--against", new)
    assert found.returncode != 0
    assert 'with name "prompt_tokens"' in found.stdout


def _changed(tmp_path: Path, was: str, becomes: str) -> Path:
    root = tmp_path / "changed"
    shutil.copytree(stubs.PROTOS, root)
    path = next(root.rglob("model_serving.proto"))
    text = path.read_text(encoding="utf-8")
    assert was in text
    path.write_text(text.replace(was, becomes, 1), encoding="utf-8")
    return root


def test_the_stubs_in_use_are_made_from_these_protos(tmp_path: Path):
    """No one runs against stubs of yesterday's contract."""
    stubs.generate(tmp_path)
    installed = Path(sysconfig.get_paths()["purelib"])
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2*.py*"))
    assert {"model_serving_pb2.py", "model_serving_pb2_grpc.py"} <= {name.name for name in made}
    different = [
        str(name) for name in made
        if not (installed / name).is_file()
        or (installed / name).read_bytes() != (tmp_path / name).read_bytes()
    ]  # fmt: skip
    assert not different
