"""One whole Parley for the tests here, with stores, registry and two people who have keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from parley.registry.v1 import registry_pb2 as pb

from stack import up
from stack.home import Home
from tests.integration.serving.conftest import made_model

from .product import Product, begun

TALKER = "talker"
ACCURACY = {1: 0.5, 2: 0.6}


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory, starter_model: Path) -> Iterator[Product]:
    """A Parley for these tests alone, which disturb it."""
    with begun(Product, Home(tmp_path_factory.mktemp("disturbed")), starter_model) as begun_one:
        yield begun_one


@pytest.fixture(scope="package")
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
