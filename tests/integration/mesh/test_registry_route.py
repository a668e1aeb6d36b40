"""The registry behind the mesh listener of a real Envoy, with a stand-in of it."""

import contextlib
import dataclasses
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc

from .programs import API_KEY, MESH_KEY, eventually, plan, running_envoy

REGISTRY = "parley.registry.v1.Registry"
SERVING = health_pb2.HealthCheckResponse.SERVING


class Told(registry_pb2_grpc.RegistryServicer):
    """Answers each GetModel with what it was told of the caller, as the model's name."""

    def GetModel(self, request, context):
        """The metadata of ours."""
        told = [f"{key}={value}" for key, value in context.invocation_metadata() if "parley" in key]
        return pb.GetModelResponse(model=pb.Model(name=" ".join(sorted(told))))


@contextlib.contextmanager
def running_registry(address):
    """A registry that says that it serves."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    registry_pb2_grpc.add_RegistryServicer_to_server(Told(), server)
    checks = health.HealthServicer()
    checks.set(REGISTRY, SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(address)
    server.start()
    yield
    server.stop(None).wait()


@pytest.fixture
def envoy(tmp_path):
    """An Envoy whose topology has a registry, which does not run yet."""
    address = f"unix:{tmp_path / 'registry.sock'}"
    topology = dataclasses.replace(plan(tmp_path), registry_address=address)
    with running_envoy(tmp_path, topology) as envoy:
        yield envoy


def ask(envoy, key, **told):
    """One call; the caller's name as the registry sees it, or the status."""
    metadata = [("authorization", f"Bearer {key}"), *told.items()]
    with grpc.insecure_channel(envoy.mesh) as channel:
        stub = registry_pb2_grpc.RegistryStub(channel)
        try:
            answer = stub.GetModel(pb.GetModelRequest(name="x"), metadata=metadata, timeout=5)
        except grpc.RpcError as error:
            return error.code()
    return answer.model.name


def test_the_registry_learns_who_calls_from_envoy_alone(envoy):
    """The key's owner is named; the facade may add whom it calls for; no caller names itself."""
    with running_registry(envoy.topology.registry_address):
        eventually(lambda: ask(envoy, API_KEY) == "x-parley-client=user")
        claim = {"x-parley-client": "gateway"}
        assert ask(envoy, API_KEY, **claim) == "x-parley-client=user"
        principal = {"x-parley-principal": "page"}
        told = "x-parley-client=gateway x-parley-principal=page"
        assert ask(envoy, MESH_KEY, **principal) == told
        assert ask(envoy, "wrong") == grpc.StatusCode.UNAUTHENTICATED


def test_a_registry_that_is_down_is_told_at_once(envoy):
    """A call fails as UNAVAILABLE instead of waiting for its deadline."""
    assert ask(envoy, API_KEY) == grpc.StatusCode.UNAVAILABLE
