"""From a request of the OpenAI wire to one GenerateRequest. Adds no rule and no default."""

import json

from parley.serving.v1 import model_serving_pb2 as pb

from gateway.errors import Names, invalid
from gateway.schemas import (
    INT64_MAX,
    TOP_K_MAX,
    ChatRequest,
    CompletionRequest,
    GenerationRequest,
    JsonObjectFormat,
    JsonSchemaFormat,
    RegexFormat,
    ResponseFormat,
)

CHAT_NAMES = Names(prompt="messages", tokens_max="max_completion_tokens")
COMPLETION_NAMES = Names(prompt="prompt", tokens_max="max_tokens")

_ROLES = {
    "system": pb.CHAT_ROLE_SYSTEM,
    "developer": pb.CHAT_ROLE_SYSTEM,
    "user": pb.CHAT_ROLE_USER,
    "assistant": pb.CHAT_ROLE_ASSISTANT,
}
_SAMPLING = (
    "temperature",
    "top_p",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)


def chat(wanted: ChatRequest) -> pb.GenerateRequest:
    """A chat request as a conversation."""
    request = _common(wanted, wanted.tokens_max, wanted.logprobs)
    for message in wanted.messages:
        request.conversation.messages.add(role=_ROLES[message.role], content=message.content)
    return request


def completion(wanted: CompletionRequest) -> pb.GenerateRequest:
    """A completion request as text or token ids."""
    request = _common(wanted, wanted.tokens_max, wanted.logprobs is not None)
    if isinstance(wanted.prompt, str):
        request.text = wanted.prompt
    else:
        request.tokens.ids.extend(wanted.prompt)
    return request


def _common(
    wanted: GenerationRequest, tokens_max: int | None, logprobs: bool
) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        model=wanted.model,
        sampling=_sampling(wanted),
        stopping=pb.Stopping(tokens_max=tokens_max, stop_strings=wanted.stop),
        output_format=_output_format(wanted.response_format),
        choices=wanted.n,
        logprobs=logprobs,
    )


def _sampling(wanted: GenerationRequest) -> pb.Sampling:
    sampling = pb.Sampling(**{name: getattr(wanted, name) for name in _SAMPLING})
    if wanted.top_k is not None:
        # 0 and -1 mean all tokens, whatever the model's own default is.
        sampling.top_k = wanted.top_k if wanted.top_k > 0 else TOP_K_MAX
    if wanted.seed is not None:
        # OpenAI's seeds may be negative, ours may not; the sign becomes part of the number.
        sampling.seed = wanted.seed & INT64_MAX
    return sampling


def _output_format(wanted: ResponseFormat | None) -> pb.OutputFormat | None:
    match wanted:
        case JsonObjectFormat():
            return pb.OutputFormat(json_object=True)
        case JsonSchemaFormat():
            return pb.OutputFormat(json_schema=_schema_text(wanted))
        case RegexFormat():
            return pb.OutputFormat(regex=wanted.regex)
    return None


def _schema_text(wanted: JsonSchemaFormat) -> str:
    try:
        return json.dumps(wanted.json_schema.schema_, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise invalid(
            "The schema holds a number that is too large.",
            param="response_format.json_schema.schema",
        ) from None
