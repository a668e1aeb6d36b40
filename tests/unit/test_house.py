"""The rules of the house that no linter knows: who may import whom, and how big things get.

They hold for what git would commit. A rule that must give way somewhere says where, and why.
"""

import ast
import graphlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from stack.environment.places import ROOT

FILE_LINES_MAX = 400
# A service and all its messages are one file (AIP-191), and each item in it has its comment.
PROTO_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
SOURCES = {".py", ".ts", ".mjs", ".css", ".proto"}
OURS = {"services", "gateway", "stack", "training", "bench", "tests"}
SHIPPED = {"services", "gateway", "stack", "training"}

# The rest of services/serving is domain: it would not know if gRPC went away.
SERVING_EDGES = {
    "servicer",
    "__main__",
    "settings",
    "registry_source",
    "joining",
    "listing",
    "metrics",
}
# Services that keep files, for which they share services/objects.
STORING = {"services.registry", "services.jobs"}
FRAMEWORKS = {"grpc", "grpc_health", "grpc_reflection", "fastapi", "mlflow", "airflow"}
UNSAFE_MODULES = {"pickle", "joblib", "dill", "cloudpickle"}

# Who, besides stack/, touches the environment, and why.
ENVIRONMENT_USERS = {
    "dags/parley_dags/wiring/settings.py": "Airflow reads graphs, and has no settings to give them",
    "services/__init__.py": "sets a switch of gRPC that it reads as it begins",
    "training/quiet.py": "sets the libraries' own switches for as long as a training runs",
    "bench/others.py": "starts a child process that needs the caller's environment",
    "tests/conftest.py": "sets a switch of OpenMP before anything loads it",
    "tests/contract/gateway/test_process.py": "starts a child process",
    "tests/dags/scripts.py": "starts a child process, and finds Airflow",
    "tests/e2e/jobs/test_submits.py": "is told how long to run",
    "tests/e2e/registry/product.py": "starts child processes as a shell does",
    "tests/e2e/test_mesh.py": "is told how long to run",
    "tests/e2e/test_chaos.py": "starts a child process as a shell does",
    "tests/e2e/test_readme.py": "starts child processes as a reader's shell does",
    "tests/e2e/test_two_hosts.py": "starts a child process, as on another host",
    "tests/integration/jobs/processes.py": "starts a child process",
    "tests/integration/mesh/joined.py": "starts child processes",
    "tests/integration/mesh/programs.py": "starts a child process",
    "tests/integration/s3/builds.py": "starts a compiler, and finds the cache",
    "tests/integration/stack/test_command_line.py": "starts a child process",
    "tests/unit/training/test_quiet.py": "looks at what training/quiet.py sets",
}


@cache
def files() -> tuple[str, ...]:
    """What git tracks here or would add."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("the rules are for checkouts: there is no git here")
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return tuple(sorted(name for name in set(told.split("\0")) if (ROOT / name).is_file()))


@cache
def trees() -> dict[str, ast.Module]:
    """Each Python file, parsed."""
    names = [name for name in files() if name.endswith(".py")]
    return {name: ast.parse((ROOT / name).read_bytes(), name) for name in names}


def module_of(file: str) -> str:
    """The name that a file is imported by."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(file: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of each thing imported; `from a import b` gives both a and a.b."""
    package = list(Path(file).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*above, *([node.module] if node.module else [])])
            yield node.lineno, name
            yield from ((node.lineno, f"{name}.{alias.name}") for alias in node.names)


def part(name: str) -> str:
    """The part of Parley that a dotted name belongs to; a service is a part of its own."""
    parts = name.split(".")
    if parts[0] == "services":
        return ".".join(parts[:2])
    return parts[0]


def _allowed(importer: str) -> set[str] | None:
    """The parts of ours that a part may import; None for any."""
    if importer == "services.rpc":
        return {importer, "services"}
    if importer.startswith("services"):
        shared = {"services.objects"} if importer in STORING else set()
        return {importer, "services", "services.rpc", *shared}
    return {"gateway": {"gateway", "services", "services.rpc"}, "training": {"training"}}.get(
        importer
    )


def test_imports_run_one_way():
    """No service knows another, shared code knows no service, training knows none of both."""
    broken = []
    for file, tree in trees().items():
        allowed = _allowed(part(module_of(file)))
        for line, name in imports(file, tree):
            if allowed is not None and name.split(".")[0] in OURS and part(name) not in allowed:
                broken.append(f"{file}:{line}: {name}")
    assert not broken


def test_domain_files_know_no_framework():
    """What a prompt, a queue and a grammar are does not depend on how requests arrive."""
    broken = []
    for file, tree in trees().items():
        path = Path(file)
        if file.startswith("services/serving/") and path.stem not in SERVING_EDGES:
            found = [(line, name) for line, name in imports(file, tree)]
            broken += [f"{file}:{line}: {n}" for line, n in found if n.split(".")[0] in FRAMEWORKS]
    assert not broken


def test_there_are_no_import_cycles():
    """Modules can be loaded, read and moved one after another."""
    modules = {module_of(file) for file in trees()}
    graph = {
        module_of(file): {name for _, name in imports(file, tree)} & modules - {module_of(file)}
        for file, tree in trees().items()
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_few_touch_the_environment():
    """Settings are read once, in one place; all others say here why they need the environment."""
    users = {
        file
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"os.environ", "os.getenv", "os.putenv", "os.environb"}
    }
    users = {file for file in users if not file.startswith("stack/")}
    assert users - ENVIRONMENT_USERS.keys() == set()
    assert ENVIRONMENT_USERS.keys() - users == set(), "no longer needed"


def test_nothing_runs_what_it_reads():
    """No file that Parley opens can bring code along."""
    broken = [
        f"{file}:{node.lineno}: {ast.unparse(node)[:60]}"
        for file, tree in trees().items()
        if file.split("/")[0] in SHIPPED
        for node in ast.walk(tree)
        if _is_unsafe(node)
    ]
    broken += [
        f"{file}:{line}: {name}"
        for file, tree in trees().items()
        if file.split("/")[0] in SHIPPED
        for line, name in imports(file, tree)
        if name.split(".")[0] in UNSAFE_MODULES or name == "torch.load"
    ]
    assert not broken


def _is_unsafe(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    trusting = [word.value for word in node.keywords if word.arg == "trust_remote_code"]
    if any(not (isinstance(word, ast.Constant) and word.value is False) for word in trusting):
        return True
    return ast.unparse(node.func) in {"eval", "exec", "torch.load", "compile", "__import__"}


def test_files_are_short():
    """Each source file can be read in one sitting."""
    counts = {
        name: len((ROOT / name).read_bytes().splitlines())
        for name in files()
        if Path(name).suffix in SOURCES
    }
    long = {
        name: count
        for name, count in counts.items()
        if count > (PROTO_LINES_MAX if name.endswith(".proto") else FILE_LINES_MAX)
    }
    assert not long


def test_functions_are_short():
    """Each function fits on a screen."""
    long = [
        f"{file}:{node.lineno}: {node.name}"
        for file, node in functions()
        if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Each function, with its file."""
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield file, node


def test_each_module_says_what_it_is_for():
    """Each module that holds anything begins with its docstring."""
    bare = [file for file, tree in trees().items() if tree.body and not ast.get_docstring(tree)]
    assert not bare


def test_each_test_says_what_it_guarantees():
    """A test without a claim is one that nobody can judge."""
    bare = [
        f"{file}:{node.lineno}: {node.name}"
        for file, node in functions()
        if file.startswith("tests/") and node.name.startswith("test_")
        if Path(file).name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert not bare


def test_each_folder_of_tests_is_a_package():
    """Two tests may have the same file name."""
    folders = {str(Path(file).parent) for file in trees() if file.startswith("tests/")}
    assert not [folder for folder in folders if f"{folder}/__init__.py" not in files()]


def test_the_changelog_begins_with_the_current_version():
    """What is released is described."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert next(name for name in found if name != "Unreleased") == version


def test_the_readme_names_each_folder():
    """The README's tree is the tree."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:\w*)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (tree,) = [block for block in blocks if "protos/ " in block]
    named = {name for line in tree.splitlines() for name in re.findall(r"(?:^| )(\w+)/", line)}
    there = {name.split("/")[0] for name in files() if "/" in name and not name.startswith(".")}
    assert named == there


def test_locks_name_no_registry():
    """Packages come from where the user's settings say, checked by their hashes."""
    locks = [name for name in files() if re.fullmatch(r"requirements/.+\.txt|.*-lock\.json", name)]
    assert len(locks) >= 3
    assert not [name for name in locks if "://" in (ROOT / name).read_text(encoding="utf-8")]


def test_no_file_knows_where_its_checkout_is():
    """Nothing of one machine goes into the repository."""
    here = str(ROOT).encode()
    assert not [name for name in files() if here in (ROOT / name).read_bytes()]
