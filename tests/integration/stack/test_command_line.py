"""The commands against a running stack of stand-ins, as a person or a program runs them."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest

from stack import keys, up
from stack.environment.places import ROOT
from stack.errors import Exit
from stack.home import Home
from tests.integration.stack.stacks import plan_of


def run_in(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs one command in a home, off a terminal."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "stack", *arguments],
        env={**os.environ, "PARLEY_HOME": str(home.path), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def idle(home):
    """Runs commands where nothing runs."""
    return partial(run_in, home)


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A home where a stack of stand-ins runs; the tests leave it as they found it."""
    home = Home(tmp_path_factory.mktemp("busy") / "home")
    up.start_with(home, lambda: plan_of(home))
    keys.ensure(home)
    yield home
    up.stop(home)


@pytest.fixture
def parley(busy):
    """Runs commands where a stack runs."""
    return partial(run_in, busy)


def test_status_tells_programs_and_people_the_same(parley):
    """JSON and words name the same services; both go to stdout, and nothing else does."""
    told = json.loads(parley("status", "--json").stdout)
    words = parley("status")
    assert told["state"] == "running"
    assert [service["name"] for service in told["services"]] == ["serving-0", "gateway", "envoy"]
    assert all(service["name"] in words.stdout for service in told["services"])
    assert (words.returncode, words.stderr) == (Exit.OK, "")


def test_output_off_a_terminal_has_no_escapes(parley):
    """No colour, no motion where a program reads."""
    for arguments in (("status",), ("up",), ("doctor",)):
        run = parley(*arguments)
        assert "\x1b" not in run.stdout + run.stderr
        assert "\r" not in run.stdout + run.stderr


def test_a_second_up_shows_where_everything_is_and_changes_nothing(parley):
    """The same block, with a new address of the page each time."""
    first, second = parley("up"), parley("up")
    assert first.returncode == second.returncode == Exit.OK
    assert "http://127.0.0.1:1/login?token=" in first.stdout
    assert first.stdout != second.stdout
    assert json.loads(parley("up", "--json").stdout)["started_now"] is False


def test_up_with_other_wishes_says_how_to_change_a_running_stack(parley):
    """A running stack is not changed in passing; replicas alone can be changed as it runs."""
    run = parley("up", "--replicas", "2")
    assert run.returncode == Exit.FAILED
    assert "./parley scale 2" in run.stderr
    run = parley("up", "--replicas", "2", "--port", "9")
    assert "./parley down && ./parley up --replicas 2 --port 9" in run.stderr


def test_scaling_to_as_many_as_there_are_changes_nothing(parley, busy):
    """And says so, to people and to programs."""
    before = busy.record.read_text()
    assert "Parley runs with 1 replica already." in parley("scale", "1").stdout
    told = json.loads(parley("scale", "1", "--json").stdout)
    assert told == {"replicas": ["serving-0"], "added": [], "removed": [], "memory_gib": {}}
    assert busy.record.read_text() == before


@pytest.mark.parametrize("count", ["0", "17", "-1", "many"])
def test_a_count_that_cannot_be_is_wrong_usage(parley, count):
    """It is named."""
    run = parley("scale", "--", count)
    assert run.returncode == Exit.USAGE
    assert count in run.stderr


def test_up_refuses_a_loosened_state_folder(parley, busy):
    """Also while it runs, with the command that mends it."""
    busy.secrets.chmod(0o755)
    run = parley("up")
    assert run.returncode == Exit.FAILED
    assert f"chmod 700 {busy.secrets}" in run.stderr
    busy.secrets.chmod(0o700)


def test_logs_gives_the_last_lines_of_one_service(parley, busy):
    """And names the services that there are for one that there is not."""
    busy.log("gateway").write_text("one\ntwo\n")
    assert parley("logs", "gateway", "-n", "1").stdout == "two\n"
    unknown = parley("logs", "gatewy")
    assert unknown.returncode == Exit.USAGE
    assert "gateway" in unknown.stderr


def test_no_log_outside_the_logs_folder_is_shown(parley, busy):
    """A service's name is not a path."""
    busy.path.joinpath("secret.log").write_text("hidden")
    assert "hidden" not in parley("logs", "../secret").stdout


@pytest.mark.parametrize("command", ["status", "token", "chat", "lineage x", "scale 2"])
def test_commands_without_a_running_stack_end_with_3(idle, command):
    """And say how to start one."""
    run = idle(*command.split())
    assert run.returncode == Exit.NOT_RUNNING
    assert "./parley up" in run.stderr


def test_down_without_a_running_stack_is_fine(idle):
    """Stopping is safe to repeat."""
    assert idle("down").returncode == Exit.OK


def test_the_api_key_is_shown_on_request_only(idle, home):
    """By default only its place is told."""
    home.prepare()
    home.api_key.write_text("sk-parley-canary\n")
    home.api_key.chmod(0o600)
    assert idle("token", "--api-key").stdout == f"{home.api_key}\n"
    assert idle("token", "--api-key", "--show").stdout == "sk-parley-canary\n"


def test_a_mistyped_command_is_corrected(idle):
    """With the nearest one that there is."""
    run = idle("stauts")
    assert run.returncode == Exit.USAGE
    assert "Did you mean 'status'?" in run.stderr


@pytest.mark.parametrize(
    "command",
    [
        "up",
        "scale",
        "down",
        "status",
        "logs",
        "doctor",
        "token",
        "chat",
        "lineage",
        "psql",
        "test",
        "bench",
        "lock",
    ],
)
def test_every_command_has_help_with_examples(idle, command):
    """Examples come before the options."""
    said = idle(command, "-h").stdout
    assert said.index("Examples:") < said.index("Options:")
    assert f"./parley {command}" in said


def test_doctor_names_each_check_and_each_mend(idle):
    """What is not ok comes with what to do."""
    findings = json.loads(idle("doctor", "--json").stdout)
    assert {"Python", "packages", "secrets", "ports", "services"} <= {f["name"] for f in findings}
    assert all(finding["mend"] for finding in findings if finding["verdict"] != "ok")
