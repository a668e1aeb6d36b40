"""Programs that die or are stopped while people chat, and a stack that is started again."""

import time

import grpc
import pytest
from parley.registry.v1 import registry_pb2 as pb

from .chats import chatting
from .product import Product

# In use it is about a second; a busy machine may take longer.
UNAVAILABLE_S_MAX = 3.0


@pytest.mark.parametrize("program", ["postgres", "s3", "mlflow", "registry"])
def test_a_killed_store_comes_back_and_no_chat_notices(product: Product, program: str):
    """After kill -9 nothing is lost: models, versions and audit are as before, in every store."""
    before = product.state()
    with chatting(product):
        product.kill(program)
        product.until_whole()
        assert product.drifts() == []
        assert product.state() == before


@pytest.mark.parametrize("program", ["postgres", "s3", "mlflow"])
def test_chats_go_on_while_a_store_is_away(product: Product, program: str, record_property):
    """Thirty chats are answered; who needs it is told UNAVAILABLE soon; then all is well again."""
    before = product.state()
    with chatting(product) as chats:
        product.stop(program)
        chats.await_more(30)
        began = time.monotonic()
        code = product.code("Reconcile", pb.ReconcileRequest())
        took_s = time.monotonic() - began
        product.supervisor.start(program)
        product.until_whole()
    record_property("unavailable_after_s", round(took_s, 3))
    assert code == grpc.StatusCode.UNAVAILABLE
    assert took_s < UNAVAILABLE_S_MAX
    assert product.state() == before


def test_a_second_up_finds_what_the_first_one_left(product: Product):
    """The same models, versions and audit; nothing is imported or promoted again."""
    before = product.state()
    product.restart()
    assert product.state() == before
    assert product.drifts() == []
    with chatting(product) as chats:
        chats.await_more(1)
