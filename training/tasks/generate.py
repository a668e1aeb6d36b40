"""Answering a file of prompts through the mesh: generate.

Answers are kept as they come, so that a repeat asks only what is left. Knows no model.
"""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1.model_serving_pb2_grpc import ModelServingStub

from training.data.files import load_rows
from training.data.rows import Row
from training.data.store import open_store
from training.errors import JobFailure, Unavailable
from training.settings import secret
from training.tasks.data import bring_dataset
from training.tasks.task import Json, Task, run

AT_A_TIME = 8
CALL_S = 300.0
TRIES = 5
FIRST_WAIT_S = 0.2
_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


def generate(job: Json) -> Json:
    """Answers every row of a dataset; the output has a line for each, in their order."""
    return run(job, "generate", _generate)


def _generate(task: Task) -> Json:
    path, data = bring_dataset(task, task.conf["dataset"], for_training=False)
    rows = load_rows(path, for_training=False)
    kept = task.folder / "answers.jsonl"
    done = _kept(kept)
    ask = _Ask(task)
    with kept.open("a", encoding="utf-8") as file:
        for at, told in _answers(task, rows, done, ask):
            done[at] = told
            file.write(json.dumps({"row": at, **told}, ensure_ascii=False) + "\n")
            file.flush()
            task.progress(len(done) / len(rows), f"{len(done)} of {len(rows)} answered")
    out = task.folder / "output.jsonl"
    with out.open("w", encoding="utf-8") as file:
        for at in range(len(rows)):
            file.write(json.dumps({"row": at, **done[at]}, ensure_ascii=False) + "\n")
    uri = open_store(task.settings).replace(f"batches/{task.folder.name}/output.jsonl", out)
    failed = sum("error" in told for told in done.values())
    task.reporter.result(output=uri, dataset_digest=data["digest"])
    task.reporter.line(f"{len(rows) - failed} answered, {failed} refused: {uri}")
    return {"output": uri, "rows": len(rows), "failed": failed}


Told = dict[str, Any]


class _Ask:
    """Asks the mesh one row; safe to use from several threads."""

    def __init__(self, task: Task) -> None:
        if not task.settings.mesh_address or task.settings.mesh_key_file is None:
            raise JobFailure("NO_MESH", "this task was not told where the mesh is.")
        self._stub = ModelServingStub(grpc.insecure_channel(task.settings.mesh_address))
        key = secret(task.settings.mesh_key_file)
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._model = task.conf["model"]
        self._sampling = pb.Sampling(temperature=float(task.conf.get("temperature") or 0.0))
        self._stopping = pb.Stopping(tokens_max=int(task.conf.get("tokens_max") or 256))

    def __call__(self, row: Row) -> Told:
        """The answer; or the error, where asking again would change nothing.

        Raises Unavailable when nobody can answer just now.
        """
        messages = [_message(role, words) for role, words in row.messages]
        request = pb.GenerateRequest(
            model=self._model,
            conversation=pb.Conversation(messages=messages),
            sampling=self._sampling,
            stopping=self._stopping,
        )
        for attempt in range(TRIES):
            try:
                return self._read(request)
            except grpc.RpcError as error:
                if error.code() not in _PASSING:
                    return {"error": f"{error.code().name}: {error.details()}"}
                if attempt == TRIES - 1:
                    raise Unavailable(f"the mesh answered {error.code().name}") from error
                time.sleep(FIRST_WAIT_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _read(self, request: pb.GenerateRequest) -> Told:
        told: Told = {"completion": ""}
        for event in self._stub.Generate(request, timeout=CALL_S, metadata=self._metadata):
            if event.HasField("started"):
                told |= {"model": event.started.model, "version": event.started.version}
            elif event.HasField("delta"):
                told["completion"] += event.delta.text
            else:
                reason = pb.FinishReason.Name(event.finished.reason)
                told["finish_reason"] = reason.removeprefix("FINISH_REASON_").lower()
                told["completion_tokens"] = event.finished.usage.completion_tokens
        return told


def _answers(
    task: Task, rows: list[Row], done: dict[int, Told], ask: _Ask
) -> Iterator[tuple[int, Told]]:
    """Each answer as it comes, a few at a time."""
    left = iter([at for at in range(len(rows)) if at not in done])
    running: dict[Future[Told], int] = {}
    with ThreadPoolExecutor(AT_A_TIME, "ask") as pool:
        try:
            while True:
                for at in islice(left, AT_A_TIME - len(running)):
                    running[pool.submit(ask, rows[at])] = at
                if not running:
                    return
                task.check()
                ended, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()


def _kept(path: Path) -> dict[int, Told]:
    """What an earlier attempt wrote; its last line may be cut."""
    found: dict[int, Told] = {}
    if not path.exists():
        return found
    whole = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        told = json.loads(line)
        found[told.pop("row")] = told
        whole += len(line)
    os.truncate(path, whole)
    return found


def _message(role: str, words: str) -> pb.ChatMessage:
    return pb.ChatMessage(role=pb.ChatRole.Value(f"CHAT_ROLE_{role.upper()}"), content=words)
