"""What callers of any of our servers get: errors in one form, health, reflection, bounds."""

import stat
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from parley.serving.v1 import model_serving_pb2 as pb
from structlog.testing import capture_logs

from services.rpc import errors, server
from services.rpc.settings import ServerSettings
from tests.contract.rpc import service
from tests.contract.rpc.conftest import WAIT_S, Peer

CALLS = ["CountTokens", "Generate"]
REQUEST_ID = (("x-request-id", "r-42"),)


async def call(peer: Peer, method: str, text: str) -> None:
    """Calls a method, one answer or streamed, to its end."""
    if method == "CountTokens":
        await peer.stub.CountTokens(
            pb.CountTokensRequest(text=text), metadata=REQUEST_ID, timeout=WAIT_S
        )
    else:
        request = pb.GenerateRequest(text=text)
        async for _ in peer.stub.Generate(request, metadata=REQUEST_ID, timeout=WAIT_S):
            pass


async def refusal(peer: Peer, method: str, text: str) -> grpc.aio.AioRpcError:
    """The status that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(peer, method, text)
    return raised.value


@pytest.mark.parametrize("method", CALLS)
async def test_an_unknown_failure_tells_nothing_of_the_inside(peer: Peer, method: str):
    """The caller gets a fixed text under INTERNAL, and no byte of the exception."""
    raised = await refusal(peer, method, "crash")
    error = errors.from_rpc_error(raised)
    assert (raised.code(), error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert error.message.startswith("Something went wrong on our side.")
    for part in ("swordfish", "RuntimeError", "Traceback", ".py"):
        assert part not in repr(raised) + repr(raised.trailing_metadata()), part


@pytest.mark.parametrize("method", CALLS)
async def test_an_error_of_ours_arrives_whole(peer: Peer, method: str):
    """Code, words, reason, metadata and delay of a ParleyError reach the caller."""
    raised = await refusal(peer, method, "full")
    error = errors.from_rpc_error(raised)
    assert raised.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (error.message, error.reason) == ("Full.", "QUEUE_FULL")
    assert (error.metadata, error.retry_after_s) == ({"waiting": "3"}, 2)


async def test_an_error_of_ours_is_not_logged_as_a_failure(peer: Peer):
    """A refusal is an answer; only what we did not foresee is an error in the log."""
    with capture_logs() as logged:
        await refusal(peer, "CountTokens", "full")
    assert not logged


@pytest.mark.parametrize("method", CALLS)
async def test_a_broken_rule_names_the_field(peer: Peer, method: str):
    """A request that breaks its own rules never reaches the service."""
    error = errors.from_rpc_error(await refusal(peer, method, ""))
    assert (type(error), error.reason) == (errors.InvalidArgument, "INVALID_FIELD")
    assert error.metadata["field"] in error.message


async def test_bytes_that_are_no_message_are_the_callers_fault(peer: Peer):
    """Garbage is INVALID_ARGUMENT, not our INTERNAL."""
    raw = peer.channel.unary_unary(f"/{service.SERVICE}/CountTokens")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await raw(b"\xff\xff\xff", timeout=WAIT_S)
    error = errors.from_rpc_error(raised.value)
    assert (type(error), error.reason) == (errors.InvalidArgument, "UNDECODABLE")


async def test_health_answers_for_the_whole_and_the_service(peer: Peer):
    """Both names that proxies ask for are known; others are not."""
    assert await peer.health() == await peer.health("") == "SERVING"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await peer.health("other")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_can_be_watched(peer: Peer):
    """Health.Watch streams the state, though its servicer writes its answers itself."""
    assert await anext(peer.watch()) == "SERVING"


async def test_a_server_is_not_serving_until_it_says_so(tmp_path: Path):
    """No proxy sends requests to a server that only has its port open."""
    address = f"unix:{tmp_path}/s.sock"
    starting = service.build(address)
    await starting.start()
    async with grpc.aio.insecure_channel(address) as channel:
        peer = Peer(channel)
        assert await peer.health() == await peer.health("") == "NOT_SERVING"
    await starting.grpc.stop(None)


async def test_reflection_gives_the_contract(peer: Peer):
    """Tools without our protos find the services and their methods."""
    stub = reflection_pb2_grpc.ServerReflectionStub(peer.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=service.SERVICE),
    ]
    answers = stub.ServerReflectionInfo(iter(asked), timeout=WAIT_S)
    listed, described = [answer async for answer in answers]
    names = {found.name for found in listed.list_services_response.service}
    contracts = {"parley.serving.v1.ModelServing", "parley.registry.v1.Registry"}
    assert {*contracts, "grpc.health.v1.Health"} <= names
    files = described.file_descriptor_response.file_descriptor_proto
    parsed = [descriptor_pb2.FileDescriptorProto.FromString(file) for file in files]
    methods = {m.name for file in parsed for s in file.service for m in s.method}
    assert {"Generate", "CountTokens", "ListLoadedModels"} <= methods


async def test_a_message_over_the_bound_is_refused(peer: Peer, tmp_path: Path):
    """Nobody makes a server hold more than it said it would."""
    unbound = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s.sock", options=unbound) as channel:
        raised = await refusal(Peer(channel), "CountTokens", "x" * (2 << 20))
    assert raised.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await peer.health() == "SERVING"


async def test_the_socket_is_for_its_owner_alone(peer: Peer, tmp_path: Path):
    """No other user of the machine may connect."""
    assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600
    assert await peer.health() == "SERVING"


@pytest.mark.parametrize("place", ["file", "missing/s.sock"])
async def test_an_address_that_cannot_be_had_is_named(tmp_path: Path, place: str):
    """A server never runs without its port: it says which it wanted."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"cannot listen on unix:{tmp_path}/{place}"):
        await service.build(f"unix:{tmp_path}/{place}").start()


def test_keepalive_is_on_and_pings_are_allowed():
    """Servers notice dead callers, and do not hang up on proxies that ping each second."""
    options = dict(server._options(ServerSettings(address="unix:/x")))
    assert options["grpc.keepalive_time_ms"] == 10_000
    assert options["grpc.http2.ping_timeout_ms"] == 5_000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.min_ping_interval_without_data_ms"] == 1_000
    assert options["grpc.max_concurrent_streams"] == 1000


@pytest.mark.parametrize("method", CALLS)
async def test_an_unknown_failure_is_logged_under_the_request_id(
    begin, method: str, tmp_path: Path
):
    """What the caller was not told stands in the log, findable by the caller's id."""
    process = begin()
    async with grpc.aio.insecure_channel(process.address) as channel:
        await channel.channel_ready()
        await refusal(Peer(channel), method, "crash")
    (line,) = [line for line in process.log.read_text().splitlines() if "rpc failed" in line]
    for part in ('"request_id": "r-42"', '"service": "example"', "swordfish", f"/{method}"):
        assert part in line
