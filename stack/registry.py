"""The registry as the command line calls it: gRPC through the mesh listener, with an API key.

Also knows where this machine's replicas are, to see when they have followed. Knows no words but
those of failures.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc
from parley.serving.v1 import model_serving_pb2 as serving_pb
from parley.serving.v1 import model_serving_pb2_grpc as serving_grpc

from services.rpc import errors
from services.rpc.channel import CLIENT_OPTIONS, call_metadata
from stack import keys, up
from stack.errors import Exit, StackError
from stack.home import Home
from stack.progress import Narrator

CALL_S = 15.0
FOLLOW_S = 300.0
POLL_S = 0.2
PAGE = 1000
PAGES_MAX = 100


class Unanswered(StackError):
    """The registry is away for now; the same call may be answered later."""


class Registry:
    """A connection. `replicas` are the addresses of the serving processes of this machine."""

    def __init__(self, address: str, api_key: str, replicas: Sequence[str] = ()) -> None:
        self._channel = grpc.insecure_channel(address, options=CLIENT_OPTIONS)
        self._stub = pb_grpc.RegistryStub(self._channel)
        self._api_key = api_key
        self._replicas = replicas

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def call(self, rpc: str, request: Message) -> Any:
        """Makes one call. Raises StackError with the registry's words, Unanswered without any."""
        metadata = call_metadata(keys.new_request_id(), self._api_key)
        try:
            return getattr(self._stub, rpc)(request, timeout=CALL_S, metadata=metadata)
        except grpc.RpcError as error:
            raise _words(errors.from_rpc_error(error)) from None

    def pages(self, rpc: str, request: Any, field: str) -> list[Any]:
        """What all pages of a list hold. Raises StackError."""
        found: list[Any] = []
        for _ in range(PAGES_MAX):
            page = self.call(rpc, request)
            found.extend(getattr(page, field))
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return found

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
        """Waits until each replica answers with these versions, as of this revision; gives the
        seconds it took. Raises StackError when one cannot load, or after five minutes."""
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
        return time.monotonic() - began


@contextmanager
def connect(as_name: str | None = None) -> Iterator[Registry]:
    """The registry of the running stack, with the key of `as_name` or the common API key.

    Raises StackError when no stack runs or there is no such key.
    """
    home = Home.find()
    running = up.require(home)
    key = keys.read(keys.client(home, as_name)) if as_name else running.api_key
    replicas = [f"unix:{home.socket(name)}" for name in running.plan.replicas()]
    with Registry(running.mesh_address, key, replicas) as registry:
        yield registry


def plain(message: Message) -> dict[str, Any]:
    """A message as the HTTP API gives it."""
    from gateway.api.messages import to_json  # brings JSON Schema, which words do without

    return to_json(message)


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


_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_MENDS = {grpc.StatusCode.ABORTED: "Look at what is there now: ./parley models list"}
_NONE_HERE = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN)


def _words(error: errors.ParleyError) -> StackError:
    if error.code in _AWAY:
        words = error.message if errors.is_ours(error) else "The registry does not answer."
        return Unanswered(words, mend="See: ./parley status")
    if errors.is_ours(error):
        return StackError(error.message, mend=_MENDS.get(error.code, ""))
    if error.reason in {code.name for code in _NONE_HERE}:
        return StackError("This Parley has no registry.", mend="Start one with: ./parley up")
    return StackError(
        f"The registry could not be asked ({error.reason}).", mend="See: ./parley status"
    )
