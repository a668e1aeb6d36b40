"""What answers tell of where they came from."""

import json

import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from tests.fakes.facade import Facade, running
from tests.fakes.serving import MODEL

STARTED = pb.Started(
    model=MODEL, version="3", digest="ab" * 32, run_id="c" * 32, dataset_digest="d" * 64, revision=7
)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_answer_names_what_it_came_from(facade: Facade, path: str, stream: bool) -> None:
    """In its id and in its headers, streamed or not."""
    facade.serving.script.started = STARTED
    reply = await facade.post(path, stream=stream)
    first = reply.text.splitlines()[0].removeprefix("data: ")
    answer_id = json.loads(first)["id"]
    assert answer_id.split("-")[:4] == [
        "chatcmpl" if "chat" in path else "cmpl", "abababababab", "3", "7"
    ]  # fmt: skip
    assert json.loads(first)["system_fingerprint"] == "fp_abababababab"
    told = {name: reply.headers[f"x-parley-{name}"] for name in ("model", "version", "run")}
    assert told == {"model": MODEL, "version": "3", "run": "c" * 32}
    assert reply.headers["x-parley-dataset"] == "d" * 64


async def test_ids_differ(facade: Facade) -> None:
    """Also of two answers of one version."""
    assert (await facade.post()).json()["id"] != (await facade.post()).json()["id"]


async def test_headers_that_went_out_early_name_nothing(settings_with) -> None:
    """A stream that had to wait cannot know yet; its chunks tell."""
    async with running(settings_with(first_event_wait_s=0)) as facade:
        reply = await facade.post(stream=True)
        assert reply.status_code == 200
        assert "x-parley-model" not in reply.headers
        assert reply.text.startswith(": keep-alive")
