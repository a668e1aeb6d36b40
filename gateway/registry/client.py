"""The registry as the facade calls it: on the mesh's channel, in the name of the edge's client."""

from collections.abc import Callable, Coroutine
from typing import Any

import grpc
from google.protobuf.message import Message
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.rpc import errors
from services.rpc.channel import call_metadata

DEADLINE_S = 10.0
PRINCIPAL_KEY = "x-parley-principal"
# What Envoy calls the client whose key it accepted; it removes what a client sends by this name.
CLIENT_HEADER = "x-parley-client"


class RegistryClient:
    """Calls Registry on one channel. Safe to share between requests."""

    def __init__(self, channel: grpc.aio.Channel, mesh_key: str) -> None:
        self._stub = pb_grpc.RegistryStub(channel)
        self._mesh_key = mesh_key

    async def call(self, rpc: str, request: Message, request_id: str, principal: str) -> Message:
        """Makes one call in the name of `principal`, where it is not empty. Raises ParleyError."""
        method: Callable[..., Coroutine[Any, Any, Message]] = getattr(self._stub, rpc)
        metadata = call_metadata(request_id, self._mesh_key)
        if principal:
            metadata = (*metadata, (PRINCIPAL_KEY, principal))
        try:
            return await method(request, timeout=DEADLINE_S, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None
