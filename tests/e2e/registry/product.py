"""A whole Parley with its stores and registry, as the tests here ask and disturb it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
import openai
from google.protobuf.message import Message
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.rpc.channel import CLIENT_OPTIONS, call_metadata
from stack import keys, up
from stack.environment.places import ROOT
from stack.errors import StackError
from stack.home import Home
from stack.registry import Registry
from stack.supervisor import ENDED, Supervisor

STARTER = "parley-starter"
PEOPLE = ("ann", "bob")
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
WAIT_S = 90.0
POLL_S = 0.05
PAGE = 1000
State = tuple[list[Message], list[Message], list[Message]]


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Waits until a condition holds; fails past the bound."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s: {what}"
        time.sleep(POLL_S)


class Product:
    """One running stack. `restart` puts another in its place, on the same data and ports."""

    def __init__(self, home: Home, *, jobs: bool = False) -> None:
        self.home = home
        self._jobs = jobs
        self.running = up.start(home, jobs=jobs)
        self.supervisor = Supervisor(home)

    def restart(self, between: Callable[[], None] = lambda: None) -> None:
        """`down`, then `up` again."""
        ports = self.running.plan.ports
        up.stop(self.home)
        between()
        self.running = up.start(self.home, ports=ports, jobs=self._jobs)

    def key(self, name: str = "") -> str:
        """The API key of a client, or the common one."""
        return keys.read(keys.client(self.home, name)) if name else self.running.api_key

    def sdk(self) -> openai.OpenAI:
        """OpenAI's SDK, which tries nothing twice."""
        return openai.OpenAI(
            base_url=self.running.base_url, api_key=self.key(), max_retries=0, timeout=60
        )

    def http(self, site: str = "", name: str = "") -> httpx.Client:
        """An HTTP client of the edge, or of `site`, with a key."""
        headers = {"authorization": f"Bearer {self.key(name)}"}
        return httpx.Client(base_url=site or self.running.site, headers=headers, timeout=30)

    def registry(self) -> Registry:
        """The registry as the command line calls it."""
        replicas = [f"unix:{self.home.socket(name)}" for name in self.running.plan.replicas()]
        home = self.running.plan.home
        return Registry(self.running.mesh_address, self.key(), replicas, home)

    def call(self, rpc: str, request: Message) -> Any:
        """One call of the registry. Raises StackError."""
        with self.registry() as known:
            return known.call(rpc, request)

    def code(self, rpc: str, request: Message) -> grpc.StatusCode:
        """What a call of the registry comes to."""
        metadata = call_metadata(keys.new_request_id(), self.key())
        address = self.running.mesh_address
        with grpc.insecure_channel(address, options=CLIENT_OPTIONS) as channel:
            try:
                getattr(pb_grpc.RegistryStub(channel), rpc)(request, timeout=15, metadata=metadata)
            except grpc.RpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    def parley(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Runs a command of `./parley` on this home."""
        return subprocess.run(
            [sys.executable, "-m", "stack", *map(str, words)],
            cwd=ROOT, env={**os.environ, "PARLEY_HOME": str(self.home.path)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    def import_folder(self, model: str, folder: object, **evidence: Any) -> pb.Import:
        """Has a folder imported; returns the import when it is over."""
        request = pb.ImportModelRequest(
            model=model,
            local_folder=str(folder),
            evidence=pb.Evidence(**evidence),
            request_id=keys.new_request_id(),
        )
        found = getattr(self.call("ImportModel", request), "import")

        def is_over() -> bool:
            asked = pb.GetImportRequest(id=found.id)
            found.CopyFrom(getattr(self.call("GetImport", asked), "import"))
            return found.state != pb.IMPORT_STATE_RUNNING

        wait_until(is_over, f"the import of {model}")
        return found

    def promote(self, model: str, number: int) -> pb.Promotion:
        """Makes a version the champion; returns at once."""
        request = pb.PromoteModelVersionRequest(
            model=model,
            number=number,
            expected_champion=self.champion(model),
            reason="a test",
            request_id=keys.new_request_id(),
        )
        return self.call("PromoteModelVersion", request).promotion

    def champion(self, model: str) -> int:
        """The number of the champion, 0 for none."""
        return self.call("GetModel", pb.GetModelRequest(name=model)).model.champion

    def version(self, model: str, version: str) -> pb.ModelVersion:
        """A version, by number or alias."""
        request = pb.GetModelVersionRequest(model=model, version=version)
        return self.call("GetModelVersion", request).version

    def state(self) -> State:
        """All models, versions and audit entries."""
        models = list(self.call("ListModels", pb.ListModelsRequest(page_size=PAGE)).models)
        versions: list[Message] = []
        for model in models:
            asked = pb.ListModelVersionsRequest(model=model.name, page_size=PAGE)
            versions += self.call("ListModelVersions", asked).versions
        audit = self.call("ListAuditEntries", pb.ListAuditEntriesRequest(page_size=PAGE))
        return models, versions, list(audit.entries)

    def drifts(self) -> list[pb.Drift]:
        """What differs between PostgreSQL, MLflow and the bucket. Raises StackError."""
        return list(self.call("Reconcile", pb.ReconcileRequest()).drifts)

    def until_whole(self) -> None:
        """Waits until all three stores answer the registry."""

        def is_whole() -> bool:
            try:
                self.drifts()
            except StackError:
                return False
            return True

        wait_until(is_whole, "the stores answer")

    def kill(self, name: str) -> None:
        """Ends a program with SIGKILL, and waits until the supervisor runs another one."""
        # One that is just being started has 0, which would be this process and all beside it.
        wait_until(lambda: self.supervisor.processes()[name].pid > 0, f"{name} runs")
        pid = self.supervisor.processes()[name].pid
        os.kill(pid, signal.SIGKILL)

        def is_new() -> bool:
            found = self.supervisor.processes()[name]
            return found.state == "RUNNING" and found.pid != pid

        wait_until(is_new, f"{name} runs again")

    def stop(self, name: str) -> None:
        """Stops a program, and waits until it has ended."""
        self.supervisor.stop(name)
        wait_until(lambda: self.supervisor.processes()[name].state in ENDED, f"{name} has ended")


P = TypeVar("P", bound=Product)


@contextmanager
def begun(kind: type[P], home: Home, starter_model: Path) -> Iterator[P]:
    """A product in a home of its own, with the starter and two people who have keys."""
    home.prepare()
    shutil.copytree(starter_model, home.starter_model)
    for name in PEOPLE:
        keys.add_client(home, name)
    try:
        yield kind(home)
    finally:
        up.stop(home)


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem details of a refusal of /api."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return json.loads(answer.text)
