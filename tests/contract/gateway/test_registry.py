"""/api/v1 on a registry that keeps the contract's rules."""

import uuid
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from gateway.api.openapi import PATH
from gateway.app import create_app
from services.rpc import errors
from services.rpc.channel import open_channel
from tests.fakes.facade import MESH_KEY, Facade

DATASET = "d" * 64
TEXT = {"content-type": "text/plain"}
GENERATING = ("/v1/chat/completions", "/v1/completions")


def _assert_problem(reply: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    problem = reply.json()
    assert (reply.status_code, problem["status"], problem["reason"]) == (status, status, reason)
    assert reply.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:parley:problem:{reason.lower().replace('_', '-')}"
    assert problem["title"] and problem["detail"]
    assert problem["request_id"] == reply.headers["x-request-id"]
    return problem


async def _promote(facade: Facade, number: int, champion: int, **headers: str) -> httpx.Response:
    body = {"number": number, "expected_champion": champion, "reason": "better"}
    return await facade.http.post("/api/v1/models/m:promote", json=body, headers=headers)


async def test_models_come_in_pages_with_all_their_fields(facade: Facade) -> None:
    """Names as in the contract; the token leads to the next page."""
    for name in ("b", "a"):
        facade.registry.add_version(name)
    first = (await facade.http.get("/api/v1/models", params={"page_size": 1})).json()
    assert [model["name"] for model in first["models"]] == ["a"]
    assert {"champion", "predecessor", "waiting", "drift"} <= first["models"][0].keys()
    token = {"page_size": 1, "page_token": first["next_page_token"]}
    second = (await facade.http.get("/api/v1/models", params=token)).json()
    assert [model["name"] for model in second["models"]] == ["b"]
    assert second["next_page_token"] == ""


async def test_numbers_are_numbers(facade: Facade) -> None:
    """Also those of 64 bits, which protobuf's own JSON writes as text."""
    facade.registry.add_version("m", metrics={"loss": 0.5})
    version = (await facade.http.get("/api/v1/models/m/versions/1")).json()["version"]
    assert (version["number"], version["size_bytes"]) == (1, 1 << 33)
    assert version["evidence"]["metrics"] == {"loss": 0.5}
    assert version["state"] == "VERSION_STATE_READY"


@pytest.mark.parametrize("asked", ["1", "champion", "digits"])
async def test_version_is_found_by_number_alias_and_digits(facade: Facade, asked: str) -> None:
    """As the contract says."""
    version = facade.registry.add_version("m")
    await _promote(facade, 1, 0)
    asked = version.digest[:12] if asked == "digits" else asked
    reply = await facade.http.get(f"/api/v1/models/m/versions/{asked}")
    assert reply.json()["version"]["digest"] == version.digest


async def test_promotion_and_rollback_move_the_champion(facade: Facade) -> None:
    """And are in the audit, newest first, with who and why."""
    facade.registry.add_version("m")
    facade.registry.add_version("m")
    for number in (1, 2):
        promoted = (await _promote(facade, number, number - 1)).json()["promotion"]
        assert promoted["state"] == "PROMOTION_STATE_DONE"
    back = await facade.http.post("/api/v1/models/m:rollback", json={"expected_champion": 2})
    assert back.json()["promotion"]["number"] == 1
    model = (await facade.http.get("/api/v1/models/m")).json()["model"]
    assert (model["champion"], model["predecessor"]) == (1, 2)
    entries = (await facade.http.get("/api/v1/audit", params={"model": "m"})).json()["entries"]
    assert [entry["action"] for entry in entries] == ["rollback", "promote", "promote"]
    assert entries[1]["reason"] == "better"


async def test_edge_names_the_principal(facade: Facade) -> None:
    """The client that Envoy knows goes on to the registry, with our key and the request id."""
    facade.registry.add_version("m")
    await _promote(facade, 1, 0, **{"x-parley-client": "ann", "x-request-id": "r-1"})
    sent = facade.registry.metadata[-1]
    assert sent["x-parley-principal"] == "ann"
    assert sent["x-request-id"] == "r-1"
    assert sent["authorization"] == f"Bearer {MESH_KEY}"
    assert facade.registry.audit[-1].principal == "ann"


async def test_approval_is_somebody_elses(facade: Facade) -> None:
    """Who asked may not answer; an approver may, once."""
    facade.registry.add_version("m")
    policy = {"policy": {"approvers": ["ann", "bob"]}}
    assert (await facade.http.post("/api/v1/models/m:policy", json=policy)).status_code == 200
    asked = (await _promote(facade, 1, 0, **{"x-parley-client": "ann"})).json()["promotion"]
    assert asked["state"] == "PROMOTION_STATE_WAITING"
    path, answer = f"/api/v1/promotions/{asked['id']}:answer", {"approve": True}
    own = await facade.http.post(path, json=answer, headers={"x-parley-client": "ann"})
    _assert_problem(own, 403, "OWN_PROMOTION")
    other = await facade.http.post(path, json=answer, headers={"x-parley-client": "bob"})
    assert other.json()["promotion"]["answered_by"] == "bob"
    again = await facade.http.post(path, json=answer, headers={"x-parley-client": "bob"})
    _assert_problem(again, 400, "PROMOTION_ANSWERED")


async def test_repeat_with_the_same_key_is_answered_alike(facade: Facade) -> None:
    """By header or body; other fields under it are a conflict."""
    facade.registry.add_version("m")
    key = str(uuid.uuid4())
    first = await _promote(facade, 1, 0, **{"idempotency-key": key})
    body = {"number": 1, "expected_champion": 0, "reason": "better", "request_id": key}
    second = await facade.http.post("/api/v1/models/m:promote", json=body)
    assert first.json() == second.json()
    assert first.json()["promotion"]["id"] == key
    other = await _promote(facade, 1, 7, **{"idempotency-key": key})
    _assert_problem(other, 409, "REQUEST_ID_TAKEN")
    differing = {"idempotency-key": str(uuid.uuid4())}
    both = await facade.http.post("/api/v1/models/m:promote", json=body, headers=differing)
    _assert_problem(both, 400, "INVALID_VALUE")


async def test_stale_expectation_is_a_conflict(facade: Facade) -> None:
    """One winner, one 409."""
    facade.registry.add_version("m")
    assert (await _promote(facade, 1, 0)).status_code == 200
    _assert_problem(await _promote(facade, 1, 0), 409, "CHAMPION_MOVED")


async def test_gate_says_which_metric_refuses(facade: Facade) -> None:
    """A missing metric does not pass."""
    facade.registry.add_version("m")
    gate = {"policy": {"gates": [{"metric": "accuracy", "floor": 0.5}]}}
    await facade.http.post("/api/v1/models/m:policy", json=gate)
    problem = _assert_problem(await _promote(facade, 1, 0), 400, "GATE_REFUSED")
    assert "accuracy" in problem["detail"]


async def test_traffic_is_spread(facade: Facade) -> None:
    """Weights that do not sum to 100 are refused by their field."""
    facade.registry.add_version("m")
    facade.registry.add_version("m")
    await _promote(facade, 1, 0)
    routes = [{"number": 1, "weight": 90}, {"number": 2, "weight": 10}]
    body = {"traffic": {"routes": routes}, "expected_champion": 1}
    reply = (await facade.http.post("/api/v1/models/m:traffic", json=body)).json()
    assert reply["model"]["traffic"] == {"routes": routes, "mirror": 0}
    body["traffic"]["routes"][0]["weight"] = 80
    wrong = await facade.http.post("/api/v1/models/m:traffic", json=body)
    assert _assert_problem(wrong, 400, "INVALID_FIELD")["field"] == "traffic"


async def test_import_is_begun_and_looked_after(facade: Facade) -> None:
    """202 at once; its id leads to how far it is."""
    body = {"model": "m", "local_folder": "/models/m", "evidence": {"dataset_digest": DATASET}}
    begun = await facade.http.post("/api/v1/imports", json=body)
    assert begun.status_code == 202
    path = f"/api/v1/imports/{begun.json()['import']['id']}"
    states = [(await facade.http.get(path)).json()["import"] for _ in range(4)]
    assert [one["fraction"] for one in states] == [0.25, 0.5, 0.75, 1]
    assert (states[-1]["state"], states[-1]["number"]) == ("IMPORT_STATE_DONE", 1)


async def test_evaluation_is_recorded_with_its_version(facade: Facade) -> None:
    """Once for each key, by whoever the edge names; a broken number is refused by its name."""
    facade.registry.add_version("m")
    path = "/api/v1/models/m/versions/1:evaluation"
    body = {"evaluation_digest": DATASET, "metrics": {"accuracy": 0.5}}
    headers = {"x-parley-client": "ann", "idempotency-key": str(uuid.uuid4())}
    first = await facade.http.post(path, json=body, headers=headers)
    (found,) = first.json()["version"]["evaluations"]
    assert (found["evaluation_digest"], found["metrics"]) == (DATASET, {"accuracy": 0.5})
    assert found["recorded_by"] == "ann"
    assert (await facade.http.post(path, json=body, headers=headers)).json() == first.json()
    wrong = await facade.http.post(path, json={**body, "metrics": {"accuracy": "high"}})
    assert _assert_problem(wrong, 400, "INVALID_TYPE")["field"].startswith("metrics")


async def test_lineage_leads_both_ways(facade: Facade) -> None:
    """From an answer's id, and from a dataset."""
    version = facade.registry.add_version("m", dataset_digest=DATASET)
    await _promote(facade, 1, 0)
    answer_id = f"chatcmpl-{version.digest[:12]}-1-1-{'a' * 32}"
    back = (await facade.http.get(f"/api/v1/lineage/{answer_id}")).json()
    assert back["versions"][0]["evidence"]["dataset_digest"] == DATASET
    assert (back["revision"], back["deployment"]["action"]) == (1, "promote")
    forward = (await facade.http.get("/api/v1/lineage", params={"dataset": DATASET})).json()
    assert [one["number"] for one in forward["versions"]] == [1]


async def test_version_is_deleted_with_a_reason(facade: Facade) -> None:
    """Not while it is in use."""
    facade.registry.add_version("m")
    reply = await facade.http.delete("/api/v1/models/m/versions/1", params={"reason": "old"})
    assert reply.json()["version"]["state"] == "VERSION_STATE_DELETED"
    assert facade.registry.audit[-1].reason == "old"
    facade.registry.add_version("m")
    await _promote(facade, 2, 0)
    refused = await facade.http.delete("/api/v1/models/m/versions/2")
    _assert_problem(refused, 400, "VERSION_IN_USE")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("m:promote", {"number": 1, "nmber": 1}, "nmber"),
        ("m:promote", {"expectedChampion": 1}, "expectedChampion"),
        ("m:promote", {"model": "other"}, "model"),
        (
            "m:traffic",
            {"traffic": {"routes": [{"number": 1, "wight": 1}]}},
            "traffic.routes.0.wight",
        ),
    ],
)
async def test_unknown_field_is_refused_by_its_name(
    facade: Facade, path: str, body: dict[str, Any], field: str
) -> None:
    """Nothing that a client means is dropped in silence."""
    reply = await facade.http.post(f"/api/v1/models/{path}", json=body)
    assert _assert_problem(reply, 400, "UNKNOWN_FIELD")["field"] == field
    assert not facade.registry.metadata


@pytest.mark.parametrize("value", ["1", 1.5, True, None, [1]])
async def test_number_of_another_type_is_refused(facade: Facade, value: object) -> None:
    """Text that looks like a number is text."""
    reply = await facade.http.post("/api/v1/models/m:promote", json={"number": value})
    assert _assert_problem(reply, 400, "INVALID_TYPE")["field"] == "number"


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/api/v1/models/nobody", 404, "MODEL_NOT_FOUND"),
        ("GET", "/api/v1/nowhere", 404, "UNKNOWN_URL"),
        ("PATCH", "/api/v1/models", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/api/v1/models/m:promote", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("GET", "/api/v1/models?limit=3", 400, "UNKNOWN_FIELD"),
        ("GET", "/api/v1/models?page_size=9999", 400, "INVALID_VALUE"),
        ("GET", "/api/v1/models?page_size=many", 400, "INVALID_TYPE"),
        ("GET", "/api/v1/imports/no-uuid", 400, "INVALID_FIELD"),
        ("GET", "/api/v1/lineage", 400, "INVALID_FIELD"),
        ("DELETE", "/api/v1/models/m/versions/champion", 400, "INVALID_TYPE"),
    ],
)
async def test_refusals_are_problems(
    facade: Facade, method: str, path: str, status: int, reason: str
) -> None:
    """Whoever refuses: the router, the facade or the registry."""
    _assert_problem(await facade.http.request(method, path), status, reason)


async def test_registry_that_is_down_is_a_503_that_passes(facade: Facade) -> None:
    """In our words, with Retry-After; /v1 keeps OpenAI's shape all the while."""
    facade.registry.refusals = [errors.Unavailable("MLflow is down.", reason="MLFLOW_UNAVAILABLE")]
    reply = await facade.http.get("/api/v1/models")
    assert "MLflow" in _assert_problem(reply, 503, "MLFLOW_UNAVAILABLE")["detail"]
    assert reply.headers["retry-after"] == "1"
    await facade.stop_replica()
    reply = await facade.http.get("/api/v1/models")
    _assert_problem(reply, 503, "UNAVAILABLE")
    assert "error" in (await facade.http.get("/v1/models")).json()


async def test_other_sites_may_not_use_the_cookie(facade: Facade) -> None:
    """Neither to read nor to change."""
    headers = {"cookie": "parley_session=x", "sec-fetch-site": "cross-site"}
    for method, path in (("GET", "/api/v1/models"), ("POST", "/api/v1/models/m:promote")):
        reply = await facade.http.request(method, path, headers=headers)
        _assert_problem(reply, 403, "CROSS_ORIGIN")
    own = headers | {"sec-fetch-site": "same-origin"}
    assert (await facade.http.get("/api/v1/models", headers=own)).status_code == 200


async def test_openapi_is_what_is_served(facade: Facade) -> None:
    """Every route below /api and each that generates, with its methods, and no other."""
    document = (await facade.http.get(PATH)).json()
    said = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    async with open_channel(facade.settings.mesh_address) as channel:
        routes = create_app(facade.settings, channel).app.routes
    told = [route for route in routes if route.path.startswith(("/api", *GENERATING))]
    served = {(route.path, method) for route in told for method in route.methods}
    assert said == served
    for path, method in said:
        if path in GENERATING:
            continue
        reply = await facade.http.request(
            method, path.replace("{", "").replace("}", ""), headers=TEXT
        )
        assert reply.json().get("reason") not in ("UNKNOWN_URL", "METHOD_NOT_ALLOWED")
    ids = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert len(ids) == len(set(ids))


async def test_answers_keep_to_openapi(facade: Facade) -> None:
    """Good ones and problems alike, byte for byte as a client gets them."""
    document = (await facade.http.get(PATH)).json()
    facade.registry.add_version("m", metrics={"loss": 0.5}, dataset_digest=DATASET)
    begun = await facade.http.post("/api/v1/imports", json={"model": "m", "hub_id": "a/b"})
    replies = {
        "/api/v1/models/{model}:promote": await _promote(facade, 1, 0),
        "/api/v1/imports": begun,
        "/api/v1/models": await facade.http.get("/api/v1/models"),
        "/api/v1/models/{model}": await facade.http.get("/api/v1/models/m"),
        "/api/v1/models/{model}/versions": await facade.http.get("/api/v1/models/m/versions"),
        "/api/v1/audit": await facade.http.get("/api/v1/audit"),
        "/api/v1/lineage": await facade.http.get(f"/api/v1/lineage?dataset={DATASET}"),
        "/api/v1/models/{model}:rollback": await facade.http.post(
            "/api/v1/models/m:rollback", json={"expected_champion": 1}
        ),
    }
    for path, reply in replies.items():
        method = reply.request.method.lower()
        responses = document["paths"][path][method]["responses"]
        told = responses.get(str(reply.status_code), responses["default"])
        kind = reply.headers["content-type"]
        schema = {**told["content"][kind]["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(reply.json())


async def test_canary_is_asked_for_watched_and_ended(facade: Facade) -> None:
    """Durations are texts as protobuf's JSON has them; the promotion's address tells how it is."""
    for _ in range(2):
        facade.registry.add_version("m")
    await _promote(facade, 1, 0)
    facade.registry.canaries_move = False
    body = {"number": 2, "expected_champion": 1}
    canary = {"steps": [1, 10, 100], "step_duration": "30s"}
    asked = await facade.http.post("/api/v1/models/m:promote", json=body | {"canary": canary})
    begun = asked.json()["promotion"]
    assert (begun["state"], begun["canary"]["weight"]) == ("PROMOTION_STATE_CANARY", 1)
    found = await facade.http.get(f"/api/v1/promotions/{begun['id']}")
    assert found.json()["promotion"]["canary"]["canary"] == canary
    model = (await facade.http.get("/api/v1/models/m")).json()["model"]
    assert {one["number"]: one["weight"] for one in model["traffic"]["routes"]} == {1: 99, 2: 1}
    back = await facade.http.post("/api/v1/models/m:rollback", json={"expected_champion": 1})
    assert back.json()["promotion"]["state"] == "PROMOTION_STATE_ROLLED_BACK"


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        ({"steps": [1, 50]}, "for example 1,10,50,100"),
        ({"steps": [1, 101]}, "canary.steps.1"),
        ({"steps": [100], "step_duration": 30}, "canary.step_duration"),
        ({"steps": [100], "step_duration": "soon"}, "canary.step_duration"),
        ({"stages": [100]}, "canary.stages"),
    ],
)
async def test_canary_that_is_none_is_refused(
    facade: Facade, canary: dict[str, Any], words: str
) -> None:
    """By its path, or in the registry's words."""
    for _ in range(2):
        facade.registry.add_version("m")
    await _promote(facade, 1, 0)
    body = {"number": 2, "expected_champion": 1, "canary": canary}
    reply = await facade.http.post("/api/v1/models/m:promote", json=body)
    assert reply.status_code == 400
    assert words in reply.json()["detail"]
