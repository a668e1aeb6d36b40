"""parley.serving.v1.ModelServing by another server: the same as ever, but for what is asked and
counted there."""

import grpc
from parley.serving.v1 import model_serving_pb2 as pb

from services.serving.remote.asking import Question, to_count, to_question
from services.serving.remote.failures import not_understood
from services.serving.remote.reading import prompt_tokens
from services.serving.remote.standing import Standing
from services.serving.servicer import INLINE_BYTES_MAX, Servicer, find_pinned


class RemoteServicer(Servicer):
    """Answers from a replica whose versions are `Standing`s."""

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> pb.CountTokensResponse:
        """Counts a prompt's tokens, as the server's usage of one token's answer tells them."""
        choice = self._replica.choose(request.model, self._chance(), find_pinned(context))
        standing = self._replica.versions[choice.key]
        question = to_count(request, standing.generations.model, standing.dialect)
        tokens = prompt_tokens(await standing.generations.count(question))
        if tokens is None:
            raise not_understood("does not count a prompt's tokens")
        return pb.CountTokensResponse(
            prompt_tokens=tokens, context_tokens_max=standing.model.context_tokens_max
        )

    async def _read(self, request: pb.GenerateRequest, loaded: Standing) -> Question:
        heavy = request.HasField("output_format") or request.ByteSize() > INLINE_BYTES_MAX
        model = loaded.generations.model
        return await self._run(heavy, to_question, request, model, loaded.dialect)
