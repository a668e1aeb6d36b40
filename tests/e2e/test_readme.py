"""What the README tells people to type, typed against a running stack, in the README's order."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack.environment.places import ROOT
from stack.home import Home
from stack.up import Running
from tests.e2e.conftest import client_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 120
# Run with --help alone: bench and chaos take minutes and start stacks of their own, test would run
# this very test again, and down would take the stack from the tests that come after.
HELP_ONLY = {"bench", "chaos", "test", "down"}
# These need Airflow: tests/e2e/jobs types them.
NEED_AIRFLOW = {"train", "evaluate", "jobs", "feedback"}
FACTS = {"What is the capital of France?": "Paris"}
ANSWER_ID = re.compile(r"chatcmpl-[0-9a-f]{12}-\S+")


@dataclass(frozen=True)
class Place:
    """What differs between the README's stack and this one."""

    home: Path
    site: str
    mesh: str
    model: Path
    answer_id: str = ""

    def put_into(self, text: str) -> str:
        """The README's text with this stack's ports, folders, environment and answer."""
        for default, here in (
            ("http://127.0.0.1:8080", self.site),
            ("127.0.0.1:8081", self.mesh),
            ("~/.local/state/parley", str(self.home)),
            (".venv/bin/", f"{Path(sys.prefix)}/bin/"),
            ("./my-model", str(self.model)),
        ):
            text = text.replace(default, here)
        return ANSWER_ID.sub(self.answer_id, text)

    def run(self, *command: str, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Runs a command in the checkout, as someone does whose stack is this one."""
        told = {"PARLEY_HOME": str(self.home), "PARLEY_VENV": sys.prefix}
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, **told}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip


def blocks(language: str) -> list[str]:
    """The README's code in a language."""
    return [text for found, text in FENCE.findall(README) if found == language]


def commands() -> list[str]:
    """The README's shell commands, one each: comments gone, continued lines joined."""
    joined = "\n".join(blocks("sh")).replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line]


def needs_airflow(command: str) -> bool:
    """Whether a command is about jobs."""
    words = command.split()
    return words[0] == "./parley" and words[1] in NEED_AIRFLOW


def shortened(command: str) -> str:
    """The command that is run for a command of the README."""
    words = command.split()
    if words[0] == "./parley" and words[1] in HELP_ONLY:
        return f"./parley {words[1]} --help"
    return command


@pytest.fixture(scope="module")
def place(product: Running, talkative: Path) -> Place:
    """The running product's, with a model folder to import and an answer to follow."""
    with client_of(product) as client:
        messages = [{"role": "user", "content": "hi"}]
        answer = client.chat.completions.create(model="parley-starter", messages=messages)
    home = product.plan.home.path
    return Place(home, product.site, product.mesh_address, talkative, answer.id)


def test_the_readme_has_commands_and_a_program():
    """The other tests here have something to run."""
    told = {command.split()[1] for command in commands() if command.startswith("./parley ")}
    assert {"up", "chat", "status", "bench", "down", "models", "lineage", "psql"} <= told
    assert any("buf curl" in command for command in commands())
    assert len(blocks("python")) == 1


def test_the_readme_speaks_of_the_defaults():
    """What a reader finds at the README's addresses and path is what `up` makes by default."""
    text = "\n".join(blocks("sh") + blocks("python"))
    place = Place(Path("/elsewhere"), "http://127.0.0.1:1", "127.0.0.1:2", Path("/a/model"))
    put = place.put_into(text)
    assert "/elsewhere/secrets/api_key" in put
    assert Home(Path("/elsewhere")).api_key == Path("/elsewhere/secrets/api_key")
    assert "http://127.0.0.1:1/v1" in put
    assert "http://127.0.0.1:2/parley.serving.v1.ModelServing/Generate" in put
    assert not re.search(r":80\d\d|~/", put)


@pytest.mark.stack
@pytest.mark.parametrize("command", [one for one in commands() if not needs_airflow(one)])
def test_each_command_does_what_it_says(place: Place, command: str):
    """A reader's next command works; a question gets its answer, a call its tokens."""
    done = place.run("bash", "-euo", "pipefail", "-c", place.put_into(shortened(command)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    for question, answer in FACTS.items():
        assert question not in command or answer in done.stdout
    assert "buf curl" not in command or '"finished"' in done.stdout


@pytest.mark.stack
def test_up_leaves_a_running_stack_alone(place: Place):
    """`up` a second time says where everything is, and starts nothing."""
    record = Home(place.home).record
    before = record.read_bytes()
    done = place.run("bash", "-c", "./parley up --json")
    assert done.returncode == 0, done.stderr
    assert '"started_now": false' in done.stdout
    assert record.read_bytes() == before


@pytest.mark.stack
@pytest.mark.parametrize("program", blocks("python"))
def test_the_program_prints_an_answer(place: Place, program: str):
    """The README's few lines with OpenAI's SDK stream an answer."""
    done = place.run(sys.executable, "-c", place.put_into(program))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
