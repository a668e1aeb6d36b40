"""The registry as the command line calls it: gRPC through the mesh listener, with an API key.

Also knows where this machine's replicas are, to see when they have followed. Knows no words but
those of failures.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import grpc
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc
from parley.serving.v1 import model_serving_pb2 as serving_pb
from parley.serving.v1 import model_serving_pb2_grpc as serving_grpc

from services.rpc.channel import CLIENT_OPTIONS, call_metadata
from stack import keys, mesh_view
from stack.errors import Exit, StackError
from stack.home import Home
from stack.mesh import CALL_S, PAGES_MAX, Client, caller
from stack.progress import Narrator

FOLLOW_S = 300.0
POLL_S = 0.2
PAGE = 1000


class Registry(Client):
    """A connection. `replicas` are the addresses of the serving processes of this machine, and
    `home` is the stack whose mesh is waited for; None for none."""

    name: ClassVar = "registry"
    mends: ClassVar = {grpc.StatusCode.ABORTED: "Look at what is there now: ./parley models list"}

    def __init__(
        self, address: str, api_key: str, replicas: Sequence[str] = (), home: Home | None = None
    ) -> None:
        super().__init__(address, api_key, pb_grpc.RegistryStub)
        self._replicas = replicas
        self._home = home

    def model(self, name: str) -> pb.Model:
        """One model. Raises StackError."""
        return self.call("GetModel", pb.GetModelRequest(name=name)).model

    def version(self, name: str, version: str) -> pb.ModelVersion:
        """One version, by number, alias or digits of its digest. Raises StackError."""
        request = pb.GetModelVersionRequest(model=name, version=version)
        return self.call("GetModelVersion", request).version

    def follow(
        self, model: str, numbers: Sequence[int], revision: int, narrator: Narrator
    ) -> float:
        """Waits until each replica answers with these versions, as of this revision, and proxies
        send requests so; gives the seconds it took. Raises StackError when one cannot load, after
        five minutes, and after ten seconds of no word from the mesh."""
        began = time.monotonic()
        waiting = [f"{number}" for number in numbers]
        for address in self._replicas:
            while state := _missing(address, model, waiting, revision):
                if time.monotonic() - began > FOLLOW_S:
                    raise StackError(
                        f"{model} does not answer after {FOLLOW_S:.0f} s: {state}.",
                        mend="See: ./parley status",
                    )
                narrator.doing(model, state)
                time.sleep(POLL_S)
        if self._home is not None:
            mesh_view.follow(self._home, revision, narrator)
        return time.monotonic() - began


@contextmanager
def connect(as_name: str | None = None) -> Iterator[Registry]:
    """The registry of the running stack, with the key of `as_name` or the common API key.

    Raises StackError when no stack runs or there is no such key.
    """
    home, running, key = caller(as_name)
    replicas = [f"unix:{home.socket(name)}" for name in running.plan.replicas()]
    with Registry(running.mesh_address, key, replicas, home) as registry:
        yield registry


def split(text: str) -> tuple[str, str]:
    """NAME@VERSION as its two parts. Raises StackError for anything else."""
    name, at, version = text.partition("@")
    if not (name and at and version):
        raise StackError(
            f"{text!r} names no version.",
            mend="Write NAME@VERSION, with a number, an alias or digits of the digest: "
            f"{name or 'NAME'}@3",
            code=Exit.USAGE,
        )
    return name, version


def _missing(address: str, model: str, numbers: Sequence[str], revision: int) -> str:
    """What one replica still lacks, in words; empty when it has followed."""
    try:
        loaded = {one.version: one for one in _loaded(address) if one.model == model}
    except grpc.RpcError:
        return "a replica does not answer yet"
    for number in numbers:
        found = loaded.get(number)
        if found is None:
            return f"waiting for {model}@{number}"
        if found.state == serving_pb.MODEL_STATE_FAILED:
            raise StackError(
                f"{model}@{number} could not be loaded: {found.detail or 'see the log'}",
                mend="See: ./parley logs serving-0",
            )
        if found.state != serving_pb.MODEL_STATE_READY:
            return f"loading {model}@{number} {found.detail}".rstrip()
        if found.revision < revision:
            return f"switching to {model}@{number}"
    return ""


def _loaded(address: str) -> Sequence[serving_pb.LoadedModel]:
    found: list[serving_pb.LoadedModel] = []
    request = serving_pb.ListLoadedModelsRequest(page_size=PAGE)
    metadata = call_metadata(keys.new_request_id())
    with grpc.insecure_channel(address, options=CLIENT_OPTIONS) as channel:
        stub = serving_grpc.ModelServingStub(channel)
        for _ in range(PAGES_MAX):
            page = stub.ListLoadedModels(request, timeout=CALL_S, metadata=metadata)
            found.extend(page.models)
            request.page_token = page.next_page_token
            if not request.page_token:
                break
    return found
