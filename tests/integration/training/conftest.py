"""A world for jobs' tasks, with a small model as its starter."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.training.small_models import make_small_model
from tests.integration.training.world import World, running_world


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that trains in seconds."""
    return make_small_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture
def world(small_model: Path) -> Iterator[World]:
    """A folder with a short name: sockets are in it."""
    with (
        tempfile.TemporaryDirectory(prefix="prl-") as folder,
        running_world(Path(folder)) as made,
    ):
        made.more |= {"WANDB_DIR": f"{folder}/wandb", "CHECKPOINT_S": "0.2"}
        made.add_model("parley-starter", small_model)
        yield made
