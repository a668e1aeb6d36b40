"""The mesh listener of a real Envoy, with fake replicas behind it."""

import signal
import time

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc

from .programs import (
    API_KEY,
    MESH_KEY,
    PAGE_KEY,
    SERVICE,
    eventually,
    is_serving,
    plan,
    running_envoy,
    running_replica,
)

KEY = (("authorization", f"Bearer {MESH_KEY}"),)
UNAVAILABLE, UNAUTHENTICATED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED


def stub_of(envoy):
    return model_serving_pb2_grpc.ModelServingStub(grpc.insecure_channel(envoy.mesh))


def count(envoy, metadata=KEY, timeout=5):
    """A unary call; gives what the replica saw of its metadata."""
    request = pb.CountTokensRequest(text="x")
    _, call = stub_of(envoy).CountTokens.with_call(request, metadata=metadata, timeout=timeout)
    return dict(call.initial_metadata())


def status_of(envoy, metadata=KEY, timeout=5):
    """A unary call's status and message."""
    try:
        count(envoy, metadata, timeout)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def replica_of(envoy):
    """The name of the replica that answers, or None."""
    request = pb.ListLoadedModelsRequest()
    try:
        answer = stub_of(envoy).ListLoadedModels(request, metadata=KEY, timeout=5)
    except grpc.RpcError:
        return None
    return answer.models[0].model


def healthy(envoy):
    """How many replicas Envoy would call."""
    return metric(envoy, "envoy_cluster_membership_healthy", 'envoy_cluster_name="serving"')


def metric(envoy, name, *labels):
    """The sum of a metric's series that have all labels."""
    text = httpx.get(f"{envoy.stats}/stats/prometheus").text
    lines = [line for line in text.splitlines() if line.startswith(name + "{")]
    return sum(float(line.split()[-1]) for line in lines if all(one in line for one in labels))


def generate(envoy, deltas, gap_s=0.0, timeout=30, stub=None):
    """A stream of so many deltas, one each `gap_s`."""
    request = pb.GenerateRequest(
        text="x",
        stopping=pb.Stopping(tokens_max=deltas),
        sampling=pb.Sampling(temperature=gap_s),
    )
    return (stub or stub_of(envoy)).Generate(request, metadata=KEY, timeout=timeout)


@pytest.mark.parametrize(
    ("metadata", "client"),
    [
        ((("authorization", f"Bearer {MESH_KEY}"),), "gateway"),
        ((("x-api-key", MESH_KEY),), "gateway"),
        ((("authorization", f"Bearer {API_KEY}"),), "user"),
    ],
)
def test_key_is_taken_and_goes_no_further(mesh, metadata, client):
    """A replica sees who asks, never the key; forged names and proxy headers are gone."""
    forged = (("x-parley-client", "admin"), ("x-envoy-max-retries", "9"))
    saw = count(mesh, (*metadata, *forged, ("x-request-id", "from-facade")))
    assert saw["saw-x-parley-client"] == client
    assert saw["saw-x-request-id"] == "from-facade"
    assert "saw-x-envoy-max-retries" not in saw
    assert not any(key in value for value in saw.values() for key in (API_KEY, MESH_KEY))


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer wrong"),),
        (("x-api-key", "wrong"),),
        (("cookie", f"parley_session={PAGE_KEY}"),),
        (("authorization", f"Bearer {PAGE_KEY}"),),
        (("x-parley-client", "gateway"),),
    ],
)
def test_wrong_or_missing_key_is_unauthenticated(mesh, metadata):
    """gRPC's own status, and words on what to send."""
    code, words = status_of(mesh, metadata)
    assert code is UNAUTHENTICATED
    assert "authorization: Bearer KEY" in words


def reflection(envoy, metadata):
    channel = grpc.insecure_channel(envoy.mesh)
    with_key = grpc.intercept_channel(channel, _Metadata(metadata))
    return ProtoReflectionDescriptorDatabase(with_key)


class _Metadata(grpc.StreamStreamClientInterceptor):
    """Adds metadata to the reflection client's calls, which take none."""

    def __init__(self, metadata):
        self._metadata = metadata

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=self._metadata), requests)


def test_reflection_describes_the_service_to_key_holders(mesh):
    """What grpcurl and buf curl need, with the key; nothing without."""
    database = reflection(mesh, KEY)
    assert SERVICE in database.get_services()
    service = DescriptorPool(database).FindServiceByName(SERVICE)
    assert {"Generate", "CountTokens"} <= {method.name for method in service.methods}
    with pytest.raises(grpc.RpcError) as refused:
        reflection(mesh, ()).get_services()
    assert refused.value.code() is UNAUTHENTICATED


@pytest.mark.parametrize(
    "method",
    ["/parley.registry.v1.Registry/ListModels", "/parley.serving.v1.ModelServingX/Generate", "/x"],
)
def test_other_services_are_unimplemented(mesh, method):
    """Only listed services lead anywhere; a key is asked first."""
    channel = grpc.insecure_channel(mesh.mesh)
    for metadata, code in ((KEY, grpc.StatusCode.UNIMPLEMENTED), ((), UNAUTHENTICATED)):
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(method)(b"", metadata=metadata, timeout=5)
        assert refused.value.code() is code


def test_stream_passes_whole_and_its_messages_are_counted(mesh):
    """Each message arrives in order, and the metrics count messages by method."""
    series = "envoy_cluster_grpc_response_message_count", 'grpc_method="Generate"'
    before = metric(mesh, *series)
    assert [one.delta.position for one in generate(mesh, 50)] == list(range(50))
    assert metric(mesh, *series) == before + 50


def test_made_up_methods_make_no_metrics(mesh):
    """Names that callers make up do not pile up in Envoy's memory."""
    call = grpc.insecure_channel(mesh.mesh).unary_unary(f"/{SERVICE}/MadeUpMethod")
    with pytest.raises(grpc.RpcError) as refused:
        call(b"", metadata=KEY, timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "MadeUp" not in httpx.get(f"{mesh.stats}/stats/prometheus").text


def test_log_names_replica_and_status_and_no_secret(mesh):
    """One JSON line per call: who asked, which replica answered, gRPC's status, and no key."""
    count(mesh, (*KEY, ("x-request-id", "log-line-1")))
    status_of(mesh, (("authorization", "Bearer wrong-canary-6"),))
    lines = mesh.log_lines

    def logged():
        return [one for one in lines() if one.get("request_id") == "log-line-1"]

    (line,) = eventually(logged)
    expected = {"client": "gateway", "replica": "serving-0", "grpc_status": "OK"}
    assert {key: line[key] for key in expected} == expected
    eventually(lambda: [one for one in lines() if one["details"] == "unknown_api_key"])
    assert "canary" not in mesh.log()


def test_callers_deadline_ends_the_call(mesh):
    """A stream longer than its deadline ends with DEADLINE_EXCEEDED, each time: Envoy, which sees
    the deadline too, does not cut in with a reset."""
    for _ in range(10):
        with pytest.raises(grpc.RpcError) as cut:
            list(generate(mesh, 50, gap_s=0.05, timeout=0.2))
        assert cut.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_many_cancels_leave_the_connection_open(mesh):
    """Calls cancelled by the thousand before their first answer do not count as an attack: a stream
    beside them, on the same connection, goes on."""
    stub = stub_of(mesh)
    beside = generate(mesh, 40, gap_s=0.1, stub=stub)
    assert next(beside).delta.position == 0
    for _ in range(1500):
        stub.CountTokens.future(pb.CountTokensRequest(text="x"), metadata=KEY).cancel()
    assert [one.delta.position for one in beside] == list(range(1, 40))


@pytest.mark.alone
def test_no_replica_is_unavailable_at_once(tmp_path):
    """Nobody waits for a replica that is not there, and the words say where to look."""
    with running_envoy(tmp_path, plan(tmp_path)) as envoy:
        started = time.monotonic()
        code, words = status_of(envoy)
        assert code is UNAVAILABLE
        assert "parley status" in words
        assert time.monotonic() - started < 1


@pytest.mark.alone
@pytest.mark.slow
def test_replica_that_comes_back_is_used_within_two_seconds(tmp_path):
    """After kill -9 calls fail at once; a new process on the same address takes calls soon after
    it says that it serves."""
    with running_envoy(tmp_path, plan(tmp_path)) as envoy:
        with running_replica(tmp_path, "serving-0") as replica:
            eventually(lambda: replica_of(envoy) == "serving-0")
            stream = generate(envoy, 100, gap_s=0.1)
            next(stream)
            replica.kill()
            with pytest.raises(grpc.RpcError) as broken:
                list(stream)
            assert broken.value.code() in (UNAVAILABLE, grpc.StatusCode.INTERNAL)
            started = time.monotonic()
            assert status_of(envoy)[0] is UNAVAILABLE
            assert time.monotonic() - started < 1
        with running_replica(tmp_path, "serving-0"):
            eventually(lambda: replica_of(envoy) == "serving-0", 2)


@pytest.mark.alone
@pytest.mark.slow
def test_frozen_replica_is_left_within_four_seconds(tmp_path):
    """Of two replicas one stops answering without dying: its missing health answers put it aside,
    and it is used again when it goes on."""
    with (
        running_replica(tmp_path, "serving-0") as first,
        running_replica(tmp_path, "serving-1"),
        running_envoy(tmp_path, plan(tmp_path, replicas=2)) as envoy,
    ):
        eventually(lambda: healthy(envoy) == 2)
        first.send_signal(signal.SIGSTOP)
        eventually(lambda: healthy(envoy) == 1, 4)
        assert [replica_of(envoy) for _ in range(8)] == ["serving-1"] * 8
        first.send_signal(signal.SIGCONT)
        eventually(lambda: {replica_of(envoy) for _ in range(8)} == {"serving-0", "serving-1"})


@pytest.mark.slow
def test_draining_replica_finishes_its_stream(tmp_path):
    """SIGTERM: running streams end whole, new calls go elsewhere, nobody sees an error."""
    with (
        running_replica(tmp_path, "serving-0") as first,
        running_replica(tmp_path, "serving-1") as second,
        running_envoy(tmp_path, plan(tmp_path, replicas=2)) as envoy,
    ):
        eventually(lambda: healthy(envoy) == 2)
        streams = [generate(envoy, 30, gap_s=0.1) for _ in range(4)]
        for stream in streams:
            next(stream)
        first.send_signal(signal.SIGTERM)
        while first.poll() is None:
            assert status_of(envoy)[0] is grpc.StatusCode.OK
        for stream in streams:
            assert [one.delta.position for one in stream] == list(range(1, 30))
        assert second.poll() is None
        assert not is_serving(envoy.topology.replicas[0].address)
