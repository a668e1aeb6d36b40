"""From a GenerateRequest to one request in OpenAI's shape; refuses what the server cannot honour.

Pure. Several answers are several requests, each with a seed of its own, as the contract has it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from parley.serving.v1 import model_serving_pb2 as pb

from services.rpc.errors import FailedPrecondition, InvalidArgument
from services.serving.engine import seed_behind
from services.serving.remote.dialects import Dialect

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_ROLES = {
    pb.CHAT_ROLE_SYSTEM: "system",
    pb.CHAT_ROLE_USER: "user",
    pb.CHAT_ROLE_ASSISTANT: "assistant",
}
# Fields of `sampling`, with the value that asks for nothing where there is one.
_SAMPLING: dict[str, float | None] = {
    "temperature": None,
    "top_p": 1,
    "top_k": None,
    "min_p": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "repetition_penalty": 1,
    "seed": None,
}
Request = pb.GenerateRequest | pb.CountTokensRequest


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of the server. `logprobs` says whether the caller wants to see them."""

    path: str
    body: dict[str, Any]
    choices: int
    repeatable: bool
    logprobs: bool

    def of_choice(self, index: int) -> dict[str, Any]:
        """The request for one of the answers."""
        seed = self.body.get("seed")
        if seed is None or not index:
            return self.body
        return {**self.body, "seed": seed_behind(seed, index)}


def to_question(request: pb.GenerateRequest, model: str, dialect: Dialect) -> Question:
    """The question to a server that calls the model `model`.

    Raises InvalidArgument that names what the server cannot honour, FailedPrecondition for an
    answer that is to be resumed.
    """
    if request.resume_token_ids:
        raise FailedPrecondition(
            "An answer of a remote server cannot be resumed; start it again.",
            reason="RESUME_UNSUPPORTED",
        )
    for name in _asked(request):
        if name not in dialect.takes:
            raise _unsupported(name)
    chat = request.HasField("conversation")
    path, body = _prompt(request, model)
    body |= {"stream": True, **(dialect.always if chat else dialect.completions_always)}
    if dialect.usage_option:
        body["stream_options"] = {"include_usage": True}
    if request.logprobs:
        body["logprobs"] = True
    body |= _sampling(request.sampling) | _stopping(request, dialect)
    body |= _format(request.output_format, dialect)
    sampling = request.sampling
    greedy = sampling.HasField("temperature") and sampling.temperature == 0
    return Question(
        path=path,
        body=body,
        choices=request.choices or 1,
        repeatable=dialect.repeats and (greedy or sampling.HasField("seed")),
        logprobs=request.logprobs,
    )


def to_count(request: pb.CountTokensRequest, model: str, dialect: Dialect) -> Question:
    """The question whose usage counts a prompt: one token is sampled, and thrown away.

    Raises InvalidArgument.
    """
    if request.WhichOneof("prompt") == "text" and "text" not in dialect.takes:
        raise _unsupported("text")
    path, body = _prompt(request, model)
    limit = dialect.chat_tokens_field if path == CHAT else "max_tokens"
    return Question(path, {**body, limit: 1}, 1, repeatable=False, logprobs=False)


def _asked(request: pb.GenerateRequest) -> Iterator[str]:
    """Names of the fields that ask for something."""
    prompt = request.WhichOneof("prompt")
    if prompt != "conversation":
        yield prompt
    sampling = request.sampling
    for name, idle in _SAMPLING.items():
        given = sampling.HasField(name) and name != "seed"
        if given and (idle is None or getattr(sampling, name) != idle):
            yield f"sampling.{name}"
    if request.stopping.stop_strings:
        yield "stopping.stop_strings"
    if request.stopping.ignore_end:
        yield "stopping.ignore_end"
    if form := request.output_format.WhichOneof("format"):
        yield f"output_format.{form}"
    if request.logprobs:
        # Completions give a token's text only, which is not its bytes.
        yield "logprobs" if prompt == "conversation" else "logprobs with a text prompt"
    if sampling.HasField("seed"):
        # The last: the facade gives one to what it could not resume otherwise.
        yield "sampling.seed"


def _prompt(request: Request, model: str) -> tuple[str, dict[str, Any]]:
    match request.WhichOneof("prompt"):
        case "conversation":
            messages = [
                {"role": _ROLES[message.role], "content": message.content}
                for message in request.conversation.messages
            ]
            return CHAT, {"model": model, "messages": messages}
        case "text":
            return COMPLETIONS, {"model": model, "prompt": request.text}
    return COMPLETIONS, {"model": model, "prompt": list(request.tokens.ids)}


def _sampling(sampling: pb.Sampling) -> dict[str, Any]:
    given = {name: getattr(sampling, name) for name in _SAMPLING if sampling.HasField(name)}
    return {
        # A float of 32 bits has seven digits; the rest would only look odd.
        name: float(f"{value:.7g}") if isinstance(value, float) else value
        for name, value in given.items()
        if _SAMPLING[name] is None or value != _SAMPLING[name]
    }


def _stopping(request: pb.GenerateRequest, dialect: Dialect) -> dict[str, Any]:
    stopping, said = request.stopping, {}
    chat = request.HasField("conversation")
    if stopping.HasField("tokens_max"):
        said[dialect.chat_tokens_field if chat else "max_tokens"] = stopping.tokens_max
    elif not chat:
        # Most servers would take 16, where the contract has what is left of the context.
        raise InvalidArgument(
            "A remote server needs stopping.tokens_max with a prompt that is no conversation.",
            reason="INVALID_FIELD",
            metadata={"field": "stopping.tokens_max"},
        )
    if stopping.stop_strings:
        said["stop"] = list(stopping.stop_strings)
    if stopping.ignore_end:
        said["ignore_eos"] = True
    return said


def _format(wanted: pb.OutputFormat, dialect: Dialect) -> dict[str, Any]:
    match wanted.WhichOneof("format"):
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            schema = {"name": "answer", "strict": True, "schema": _schema(wanted.json_schema)}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case "regex" if dialect.regex_field:
            return {dialect.regex_field: wanted.regex}
        case "regex":
            return {"response_format": {"type": "regex", "regex": wanted.regex}}
    return {}


def _schema(text: str) -> dict[str, Any]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise InvalidArgument(
            "The schema is no JSON object.",
            reason="OUTPUT_FORMAT_INVALID",
            metadata={"field": "output_format.json_schema"},
        )
    return schema


def _unsupported(name: str) -> InvalidArgument:
    return InvalidArgument(
        f"The server behind this model does not take {name}. Leave it out.",
        reason="REMOTE_UNSUPPORTED",
        metadata={"field": name.partition(" ")[0]},
    )
