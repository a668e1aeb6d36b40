"""The set-up: what is made again when, and how it tells of failures."""

import shutil
import subprocess
import sys

import pytest

from stack.environment import launch, page, stamps
from stack.environment.places import ROOT, Places
from stack.environment.steps import Steps, explain
from stack.errors import Exit, StackError


@pytest.fixture
def checkout(tmp_path) -> Places:
    """A checkout with everything that stamps are made of, and no environment."""
    root = tmp_path / "checkout"
    for folder in ("requirements", "protos"):
        shutil.copytree(ROOT / folder, root / folder)
    shutil.copytree(
        ROOT / "chat", root / "chat", ignore=shutil.ignore_patterns("node_modules", "dist")
    )
    (root / "stack").mkdir()
    shutil.copy(ROOT / "stack" / "stubs.py", root / "stack")
    return Places(root, root / ".venv")


def make(places: Places) -> None:
    """Stamps everything as made, as a set-up would at its end."""
    places.venv.mkdir()
    now = {lock: stamps.packages(places, lock) for lock in ("parley", "test")}
    stamps.write(places.stamp, **now, stubs=stamps.stubs(places))
    airflow = places.airflow
    airflow.venv.mkdir()
    stamps.write(airflow.stamp, airflow=stamps.packages(airflow, "airflow"))
    for path in (page.built_stamp(places), page.packages_stamp(places)):
        path.parent.mkdir()
    stamps.write(page.built_stamp(places), page=stamps.page(places))
    stamps.write(page.packages_stamp(places), packages=stamps.page_packages(places))


def test_an_empty_checkout_lacks_everything(checkout):
    """The first start makes all parts."""
    assert launch.missing(checkout, "up") == {"parley", "stubs", "page", "airflow"}


def test_a_parley_without_jobs_needs_no_airflow(checkout):
    """`up --without jobs` and `bench` make no environment for it."""
    assert "airflow" not in launch.missing(checkout, "up", jobs=False)
    assert "airflow" not in launch.missing(checkout, "bench")


def test_a_made_checkout_lacks_nothing(checkout):
    """The second start changes nothing."""
    make(checkout)
    assert launch.missing(checkout, "up") == launch.missing(checkout, "test") == set()


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("requirements/parley.txt", {"parley", "stubs"}),
        ("requirements/test.txt", {"test"}),
        ("requirements/airflow.txt", {"airflow"}),
        ("protos/parley/serving/v1/model_serving.proto", {"stubs"}),
        ("stack/stubs.py", {"stubs"}),
        ("chat/src/main.ts", {"page"}),
        ("chat/package-lock.json", {"page"}),
    ],
)
def test_a_changed_source_is_made_again_and_no_more(checkout, file, part):
    """Each part depends on its own sources only."""
    make(checkout)
    with (checkout.root / file).open("a") as changed:
        changed.write("\n")
    assert launch.missing(checkout, "up") == part


def test_a_removed_page_is_made_again(checkout):
    """The page's stamp goes with the page."""
    make(checkout)
    shutil.rmtree(checkout.chat / "dist")
    assert launch.missing(checkout, "up") == {"page"}


def test_half_a_stamp_counts_as_none(checkout):
    """An interrupted write is made good."""
    make(checkout)
    checkout.stamp.write_text('{"parley": ')
    assert "parley" in launch.missing(checkout, "up")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("npm error code ENOSPC", "the disk is full"),
        ("error: dns error: failed to lookup address", "the package index could not be reached"),
        ("npm error code EAI_AGAIN", "the package index could not be reached"),
        ("Hash mismatch for `typer==0.25.1`", "a package is not the one that the lock names"),
        ("npm error code EINTEGRITY", "a package is not the one that the lock names"),
        ("error: Permission denied (os error 13)", "a file or folder may not be written"),
        ("Segmentation fault", "it ended with an error"),
    ],
)
def test_a_failed_program_gives_one_reason(said, reason):
    """People read a reason, not a traceback."""
    assert explain(said)[0] == reason


def test_a_failed_step_names_itself_its_words_and_the_log(tmp_path, capsys):
    """The error holds what is needed to go on."""
    steps = Steps(tmp_path / "setup.log")
    program = [sys.executable, "-c", "import sys; sys.exit('no space left on device')"]
    with pytest.raises(StackError) as failure, steps.step("Python packages"):
        steps.run(program, timeout_s=30)
    assert failure.value.what == "Python packages: the disk is full."
    assert failure.value.evidence == ("no space left on device",)
    assert str(tmp_path / "setup.log") in failure.value.mend
    assert failure.value.code == Exit.SETUP


def test_a_step_that_hangs_is_ended(tmp_path):
    """Every step has a bound."""
    steps = Steps(tmp_path / "setup.log")
    with pytest.raises(StackError, match="not done after 0 s"):
        steps.run(["sleep", "60"], timeout_s=0)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Runs this checkout's `./parley` with an environment that was never made."""
    monkeypatch.setenv("PARLEY_VENV", str(tmp_path / "none"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "parley", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


def test_help_and_version_need_no_environment(script, tmp_path):
    """A look at the command installs nothing."""
    assert script("--help").stdout.startswith("Usage: ./parley COMMAND")
    assert script("--version").stdout == f"parley {Places.find().version()}\n"
    assert not (tmp_path / "none").exists()


def test_a_command_that_needs_a_running_stack_says_so(script, tmp_path):
    """`status` before the first `up` installs nothing and says what to do."""
    run = script("status")
    assert run.returncode == Exit.NOT_RUNNING
    assert "./parley up" in run.stderr
    assert run.stdout == ""
    assert not (tmp_path / "none").exists()
