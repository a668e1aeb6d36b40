"""The services behind /api/v1 as the facade calls them: on the mesh's channel, in the name of the
edge's client."""

from collections.abc import Callable, Sequence
from operator import methodcaller

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from services.rpc import errors
from services.rpc.channel import call_metadata

DEADLINE_S = 10.0
PRINCIPAL_KEY = "x-parley-principal"
# What Envoy calls the client whose key it accepted; it removes what a client sends by this name.
CLIENT_HEADER = "x-parley-client"
_write = methodcaller("SerializeToString")
Metadata = Sequence[tuple[str, str]]


class ApiClient:
    """Calls any service's methods on one channel. Safe to share between requests."""

    def __init__(self, channel: grpc.aio.Channel, mesh_key: str) -> None:
        self._channel = channel
        self._mesh_key = mesh_key

    async def call(
        self, rpc: MethodDescriptor, request: Message, request_id: str, principal: str
    ) -> Message:
        """Makes one call in the name of `principal`, where it is not empty. Raises ParleyError."""
        method = self._channel.unary_unary(path_of(rpc), _write, _reader(rpc))
        try:
            return await method(
                request, timeout=DEADLINE_S, metadata=self.metadata(request_id, principal)
            )
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None

    def watch(
        self, rpc: MethodDescriptor, request: Message, timeout_s: float, metadata: Metadata
    ) -> grpc.aio.UnaryStreamCall:
        """Opens a stream of answers, which the caller reads and cancels."""
        method = self._channel.unary_stream(path_of(rpc), _write, _reader(rpc))
        return method(request, timeout=timeout_s, metadata=metadata)

    def upload(
        self, rpc: MethodDescriptor, timeout_s: float, metadata: Metadata
    ) -> grpc.aio.StreamUnaryCall:
        """Opens a stream of requests, which the caller writes and ends."""
        method = self._channel.stream_unary(path_of(rpc), _write, _reader(rpc))
        return method(timeout=timeout_s, metadata=metadata)

    def metadata(self, request_id: str, principal: str) -> Metadata:
        """What each call carries."""
        pairs = call_metadata(request_id, self._mesh_key)
        return (*pairs, (PRINCIPAL_KEY, principal)) if principal else pairs


def path_of(rpc: MethodDescriptor) -> str:
    """The method's path on the wire of gRPC."""
    return f"/{rpc.containing_service.full_name}/{rpc.name}"


def _reader(rpc: MethodDescriptor) -> Callable[[bytes], Message]:
    return message_factory.GetMessageClass(rpc.output_type).FromString
