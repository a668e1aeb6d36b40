"""What the facade counts."""

import asyncio

from prometheus_client import REGISTRY

from services.rpc import errors
from tests.fakes.facade import Facade


def _value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"parley_gateway_{name}", labels) or 0


async def test_requests_are_counted_by_route_and_status(facade: Facade) -> None:
    """Every address that is no route is one label, so that strangers cannot make more."""
    told = [
        ("/v1/chat/completions", "200"),
        ("/v1/models/{model:path}", "404"),
        ("other", "404"),
    ]
    before = [_value("requests_total", route=route, status=status) for route, status in told]
    await facade.post()
    await facade.http.get("/v1/models/nobody")
    await facade.http.get("/nowhere")
    await facade.http.get("/elsewhere")
    after = [_value("requests_total", route=route, status=status) for route, status in told]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 2]


async def test_first_byte_is_timed_by_route(facade: Facade) -> None:
    """From arrival to headers."""
    before = _value("first_byte_seconds_count", route="/healthz")
    await facade.http.get("/healthz")
    assert _value("first_byte_seconds_count", route="/healthz") == before + 1


async def test_open_generations_retries_and_broken_streams_are_counted(facade: Facade) -> None:
    """One of each."""
    retries, broken = _value("retries_total"), _value("broken_streams_total", code="internal_error")
    facade.serving.script.refusals = [errors.Unavailable("Wait.", reason="MODEL_LOADING")]
    facade.serving.script.admit, facade.serving.script.dies_at = asyncio.Event(), 1
    asking = asyncio.create_task(facade.post(stream=True))
    await facade.serving.seen.until("requests", 2)
    assert _value("generations_open") == 1
    facade.serving.script.admit.set()
    await asking
    await facade.until_idle()
    assert _value("retries_total") == retries + 1
    assert _value("broken_streams_total", code="internal_error") == broken + 1
