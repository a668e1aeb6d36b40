"""Asks the registry which version gave an answer."""

import grpc
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.jobs.data.entries import Origin
from services.rpc import errors

ANSWER_S_MAX = 2.0


class Lineage:
    """A client of the registry. `within_s` bounds one question."""

    def __init__(self, registry: pb_grpc.RegistryStub, within_s: float = ANSWER_S_MAX) -> None:
        self._registry = registry
        self._within_s = within_s

    async def follow(self, response_id: str) -> Origin:
        """Finds the version that gave an answer, and what that was made from.

        Raises InvalidArgument when it is no answer's id, NotFound when nothing here gave it, and
        Unavailable when the registry does not answer.
        """
        asked = pb.GetLineageRequest(response_id=response_id)
        try:
            answer = await self._registry.GetLineage(asked, timeout=self._within_s)
        except grpc.aio.AioRpcError as error:
            raise _translated(errors.from_rpc_error(error)) from error
        (version,) = answer.versions
        evidence = version.evidence
        return Origin(version.model, version.number, evidence.run_id, evidence.dataset_digest)


def _translated(error: errors.ParleyError) -> errors.ParleyError:
    if errors.is_ours(error):
        return error
    return errors.Unavailable(
        "The registry does not answer. Ask again.", reason="REGISTRY_UNAVAILABLE", retry_after_s=1
    )
