"""Whole stacks for the end-to-end tests, started once: Parley as a user has it, and smaller ones.

`product` is the whole of it. `stack` serves the starter model's folder without a registry;
`over_parley` and `over_transformers` serve it by way of another server. `small` serves a random
model that talks on and on, with room for few answers, so that long streams, full queues and deaths
can be had at will.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

from bench import stacks
from bench.others import transformers_serve
from stack import starter, up
from stack.home import Home
from stack.plan import Remote
from stack.up import Running

SMALL_SEQUENCES_MAX = 64
WHOLE = [Path(__file__).with_name(name) for name in ("jobs", "registry")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole Parleys with a registry need the stack, and take long."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in WHOLE):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """The user's starter model, made when missing."""
    owner = Home.find()
    owner.prepare()
    if not starter.is_made(owner):
        starter.make(owner, up.SILENT)
    return owner.starter_model


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, starter_model: Path) -> Iterator[Running]:
    """A stack of its own that serves the starter model's folder, without stores."""
    home = Home(tmp_path_factory.mktemp("stack"))
    yield up.start(home, model_dir=starter_model)
    up.stop(home)


@pytest.fixture(scope="session")
def over_parley(tmp_path_factory: pytest.TempPathFactory, stack: Running) -> Iterator[Running]:
    """A stack whose replica stands before `stack`, as before any other server."""
    home = Home(tmp_path_factory.mktemp("over-parley"))
    yield up.start(home, remote=Remote(stack.base_url, stack.plan.home.api_key))
    up.stop(home)


@pytest.fixture(scope="session")
def over_transformers(
    tmp_path_factory: pytest.TempPathFactory, starter_model: Path
) -> Iterator[Running]:
    """A stack whose replica stands before `transformers serve` with the starter model."""
    home = Home(tmp_path_factory.mktemp("over-transformers"))
    with transformers_serve(starter_model) as other:
        there = other.target
        url = f"http://{there.host}:{there.port}"
        yield up.start(home, remote=Remote(url, model=there.model, kind="transformers"))
        up.stop(home)


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, starter_model: Path) -> Iterator[Running]:
    """Parley as `./parley up` makes it: the stores, the registry, and the starter in it."""
    home = Home(tmp_path_factory.mktemp("product"))
    home.prepare()
    shutil.copytree(starter_model, home.starter_model)
    yield up.start(home)
    up.stop(home)


@pytest.fixture(scope="session")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, which seldom comes to an end."""
    from training import shapes

    folder = tmp_path_factory.mktemp("models") / "talkative"
    shapes.make_random_model(folder, shapes.TINY_SHAPE)
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, talkative: Path) -> Iterator[Running]:
    """A stack with one replica that takes at most 64 answers at a time."""
    bound = {"PARLEY_SERVING_QUEUE_SEQUENCES_MAX": str(SMALL_SEQUENCES_MAX)}
    home = Home(tmp_path_factory.mktemp("small"))
    with stacks.serving(
        home, talkative, change=lambda plan: stacks.told(plan, "serving-0", bound)
    ) as running:
        yield running


@pytest.fixture
def talking(
    tmp_path_factory: pytest.TempPathFactory, talkative: Path
) -> Iterator[Callable[[int], Running]]:
    """Starts a stack of its own for a test, with so many replicas that talk on and on."""
    with contextlib.ExitStack() as started:

        def start(replicas: int) -> Running:
            home = Home(tmp_path_factory.mktemp("talking"))
            return started.enter_context(stacks.serving(home, talkative, replicas=replicas))

        yield start


def client_of(running: Running, **options: object) -> openai.OpenAI:
    """OpenAI's SDK on a stack, without retries unless asked for."""
    return openai.OpenAI(
        base_url=running.base_url, api_key=running.api_key, **{"max_retries": 0, **options}
    )


@pytest.fixture(scope="session")
def client(stack: Running) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK on the stack."""
    with client_of(stack) as made:
        yield made


@pytest.fixture(scope="session")
def small_client(small: Running) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK on the small stack."""
    with client_of(small) as made:
        yield made


@pytest.fixture(scope="session")
def login_url(stack: Running) -> Callable[[], str]:
    """Gives a new one-time address of the chat page at each call."""
    return stack.page_url
