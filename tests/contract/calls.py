"""How the worlds of these tests call the services that run in them."""

from typing import Any

import grpc

from services.rpc import errors

WAIT_S = 30.0


class Caller:
    """Something that has a stub."""

    stub: Any

    async def ask(self, method: str, request: Any, as_: str = "") -> Any:
        """Calls a method, as a client of the mesh where `as_` is given; raises our errors."""
        metadata = (("x-parley-client", as_),) if as_ else ()
        try:
            return await getattr(self.stub, method)(request, metadata=metadata, timeout=WAIT_S)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from error
