"""Who may promote what, by HTTP: stale news, gates, and the approval of a second person."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from parley.registry.v1 import registry_pb2 as pb

from stack import keys

from .conftest import ACCURACY
from .product import Product, problem

Policy = Callable[[pb.ModelPolicy], None]


@pytest.fixture
def policy(product: Product, talker: str) -> Iterator[Policy]:
    """Sets the model's rules; there are none again afterwards."""

    def set_policy(wanted: pb.ModelPolicy) -> None:
        request_id = keys.new_request_id()
        request = pb.SetModelPolicyRequest(name=talker, policy=wanted, request_id=request_id)
        product.call("SetModelPolicy", request)

    yield set_policy
    set_policy(pb.ModelPolicy())


def wish(product: Product, talker: str) -> dict[str, Any]:
    """The body that asks for the version that is not champion."""
    champion = product.champion(talker)
    return {"number": 3 - champion, "expected_champion": champion, "reason": "a test"}


def test_a_promotion_on_old_news_is_a_conflict(product: Product, talker: str):
    """409, and the words say which champion there is."""
    body = wish(product, talker)
    with product.http() as client:
        answer = client.post(
            f"/api/v1/models/{talker}:promote", json={**body, "expected_champion": 7}
        )
    assert answer.status_code == 409
    found = problem(answer)
    assert found["reason"] == "CHAMPION_MOVED"
    assert f"is version {body['expected_champion']}, not 7" in found["detail"]


def test_a_gate_that_fails_says_why(product: Product, talker: str, policy: Policy):
    """400 with the metric and what it should have been; the champion stays."""
    policy(pb.ModelPolicy(gates=[pb.Gate(metric="accuracy", floor=0.9)]))
    body = wish(product, talker)
    with product.http() as client:
        answer = client.post(f"/api/v1/models/{talker}:promote", json=body)
    assert answer.status_code == 400
    found = problem(answer)
    assert found["reason"] == "GATE_REFUSED"
    assert "accuracy" in found["detail"]
    assert str(ACCURACY[body["number"]]) in found["detail"]
    assert product.champion(talker) == body["expected_champion"]


def test_a_promotion_needs_a_second_person(product: Product, talker: str, policy: Policy):
    """Who asked is refused, as is who is not named; another approver's yes carries it out."""
    policy(pb.ModelPolicy(approvers=["ann", "bob"]))
    body = wish(product, talker)
    with product.http(name="ann") as ann, product.http(name="bob") as bob, product.http() as api:
        asked = ann.post(f"/api/v1/models/{talker}:promote", json=body).json()["promotion"]
        assert product.champion(talker) == body["expected_champion"]
        address, yes = f"/api/v1/promotions/{asked['id']}:answer", {"approve": True}
        refused = [who.post(address, json=yes) for who in (ann, api)]
        done = bob.post(address, json=yes).json()["promotion"]
    assert [answer.status_code for answer in refused] == [403, 403]
    reasons = [problem(answer)["reason"] for answer in refused]
    assert reasons == ["OWN_PROMOTION", "NOT_AN_APPROVER"]
    assert (done["requested_by"], done["answered_by"]) == ("ann", "bob")
    assert product.champion(talker) == body["number"]
    (entry,) = product.call(
        "ListAuditEntries", pb.ListAuditEntriesRequest(model=talker, page_size=1)
    ).entries
    assert (entry.principal, entry.action, entry.number) == ("bob", "approve", body["number"])
