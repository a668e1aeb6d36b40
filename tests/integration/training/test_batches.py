"""Claims about answering a file of prompts through the mesh."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1.model_serving_pb2_grpc import (
    ModelServingServicer,
    add_ModelServingServicer_to_server,
)

from tests.integration.s3 import servers
from tests.integration.training.world import World

pytestmark = pytest.mark.slow


class Echo(ModelServingServicer):
    """Says what it is asked; busy now and then, and away after some answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: set[str] = set()
        self.busy = 0
        self.answers_left = 1000

    def Generate(self, request: pb.GenerateRequest, context: Any) -> Iterator[pb.GenerateResponse]:
        """The last message comes back in two parts."""
        self.keys.add(dict(context.invocation_metadata())["authorization"])
        words = request.conversation.messages[-1].content
        if self.busy:
            self.busy -= 1
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
        if words == "bad":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too long")
        if self.answers_left <= 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        self.answers_left -= 1
        self.asked.append(words)
        yield pb.GenerateResponse(started=pb.Started(model="echo", version="3"))
        for part in (words[:1], words[1:]):
            yield pb.GenerateResponse(delta=pb.Delta(text=part))
        yield pb.GenerateResponse(finished=pb.Finished(reason=pb.FINISH_REASON_STOP))


@pytest.fixture
def echo(world: World) -> Iterator[Echo]:
    serving = Echo()
    server = grpc.server(ThreadPoolExecutor(8))
    add_ModelServingServicer_to_server(serving, server)
    server.add_insecure_port(f"unix:{world.folder}/mesh.sock")
    server.start()
    key = world.folder / "mesh-key"
    key.touch(0o600)
    key.write_text("mesh-key")
    world.more |= {"MESH_ADDRESS": f"unix:{world.folder}/mesh.sock", "MESH_KEY_FILE": str(key)}
    try:
        yield serving
    finally:
        server.stop(0).wait(10)


def conf(world: World, prompts: list[str]) -> dict[str, Any]:
    """A job that answers prompts."""
    path = world.folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    return {"model": "echo", "dataset": str(path)}


def output(world: World, job_id: str) -> list[dict[str, Any]]:
    """What lies in the store."""
    key = f"batches/{job_id}/output.jsonl"
    lines = world.bucket.get_object(servers.BUCKET, key).read().splitlines()
    return [json.loads(line) for line in lines]


def test_every_prompt_is_answered_in_its_place(world: World, echo: Echo) -> None:
    """A busy mesh is asked again; a prompt that it refuses has the error in its line."""
    echo.busy = 3
    status, told = world.run("batch_generate", conf(world, ["one", "bad", "three"]), "batch-1")
    assert status == 0, told
    first, second, third = output(world, "batch-1")
    assert (first["completion"], first["version"], first["finish_reason"]) == ("one", "3", "stop")
    assert "too long" in second["error"]
    assert (third["row"], third["completion"]) == (2, "three")
    assert echo.keys == {"Bearer mesh-key"}
    assert world.jobs.result.output == "s3://parley/batches/batch-1/output.jsonl"


def test_a_repeat_asks_only_what_is_left(world: World, echo: Echo) -> None:
    """A mesh that goes away costs no answer that was there."""
    echo.answers_left = 12
    prompts = [f"prompt {number}" for number in range(30)]
    status, told = world.run("batch_generate", conf(world, prompts), "batch-2")
    assert status == 75, told
    echo.answers_left = 1000
    status, told = world.run("batch_generate", conf(world, prompts), "batch-2")
    assert status == 0, told
    assert [line["completion"] for line in output(world, "batch-2")] == prompts
    assert sorted(echo.asked) == sorted(prompts)
