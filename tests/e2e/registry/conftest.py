"""One whole Parley for the tests here, with stores, registry and two people who have keys."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from parley.registry.v1 import registry_pb2 as pb

from stack import keys, starter, up
from stack.home import Home
from tests.integration.serving.conftest import made_model

from .product import Product

PEOPLE = ("ann", "bob")
TALKER = "talker"
ACCURACY = {1: 0.5, 2: 0.6}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All here need the stack, and take long."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A Parley of its own, which found the user's starter model made already."""
    owner = Home.find()
    owner.prepare()
    if not starter.is_made(owner):
        starter.make(owner, up.SILENT)
    home = Home(tmp_path_factory.mktemp("product"))
    home.prepare()
    shutil.copytree(owner.starter_model, home.starter_model)
    for name in PEOPLE:
        keys.add_client(home, name)
    try:
        yield Product(home)
    finally:
        up.stop(home)


@pytest.fixture(scope="session")
def talker(product: Product) -> str:
    """A model with two versions of random weights that answer differently; 1 is the champion."""
    for number, accuracy in ACCURACY.items():
        folder = made_model(seed=number - 1)
        done = product.import_folder(TALKER, folder, metrics={"accuracy": accuracy})
        assert (done.state, done.number) == (pb.IMPORT_STATE_DONE, number), done.message
    promotion = product.promote(TALKER, 1)
    with product.registry() as known:
        known.follow(TALKER, [1], promotion.revision, up.SILENT)
    return TALKER
