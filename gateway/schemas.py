"""The parameters of the OpenAI wire that Parley honours, and those it refuses.

Follows OpenAI's reference for Chat Completions and Completions. A parameter that is known but not
honoured passes only with a value that asks for nothing; anything else is refused by its name.
Knows no gRPC.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

CHOICES_MAX = 8
MESSAGES_MAX = 4096
STOPS_MAX = 4
STOP_BYTES_MAX = 256
TOKENS_MAX = 2**31 - 1
TOKEN_IDS_MAX = 131_072
TOP_K_MAX = 1_000_000
INT64_MAX = 2**63 - 1
CACHE_KEY_CHARS_MAX = 256


def refusal(code: str, message: str, at: str = "") -> PydanticCustomError:
    """An error of ours for a validator to raise; `at` is the path below the validated value."""
    return PydanticCustomError(code, "{message}", {"message": message, "at": at})


class Wire(BaseModel):
    """A JSON object: strict types, no unknown names; null means absent where absent is allowed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    # Parameters that are known but not honoured, and values of theirs that ask for nothing.
    idle: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _leave_out_idle(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, value in data.items():
            if name in cls.idle and value is not None and not _among(value, cls.idle[name]):
                raise refusal("unsupported_parameter", _unsupported(name, cls.idle[name]), name)
        return {name: value for name, value in data.items() if cls._says_something(name, value)}

    @classmethod
    def _says_something(cls, name: str, value: Any) -> bool:
        if value is not None:
            return name not in cls.idle
        field = cls.model_fields.get(name)
        return field.is_required() if field else name not in cls.idle


def _among(value: Any, values: tuple[Any, ...]) -> bool:
    return any(type(value) is type(other) and value == other for other in values)


def _unsupported(name: str, values: tuple[Any, ...]) -> str:
    allowed = " or ".join(repr(value) for value in values)
    return f"Parley does not support '{name}'" + (f" other than {allowed}." if values else ".")


def _joined_text(value: Any) -> Any:
    """Content as text: a list of text parts is their texts, one after the other."""
    if not isinstance(value, list):
        return value
    if not value:
        raise refusal("invalid_value", "Content must have at least one part.")
    return "".join(_part_text(part, index) for index, part in enumerate(value))


def _part_text(part: Any, index: int) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise refusal(
            "invalid_type", "A part of content must be an object with a type.", f"{index}"
        )
    if part["type"] != "text":
        raise refusal("invalid_value", "Only parts of type 'text' are supported.", f"{index}")
    text = part.get("text")
    if not isinstance(text, str):
        raise refusal("invalid_type", "The text of a part must be a string.", f"{index}.text")
    if len(part) > 2:
        extra = next(name for name in part if name not in ("type", "text"))
        raise refusal(
            "unknown_parameter", "A text part has only type and text.", f"{index}.{extra}"
        )
    return text


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _short_stops(stops: list[str]) -> list[str]:
    for index, stop in enumerate(stops):
        if not 1 <= len(stop.encode()) <= STOP_BYTES_MAX:
            message = f"A stop text has 1 to {STOP_BYTES_MAX} bytes."
            raise refusal("invalid_value", message, f"{index}")
    return stops


class Message(Wire):
    """One message of a conversation."""

    # What an SDK sends back when an answer's message goes into the next request.
    idle = {
        "name": (),
        "refusal": (),
        "annotations": ([],),
        "audio": (),
        "function_call": (),
        "tool_calls": ([],),
    }

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        str, BeforeValidator(_joined_text, json_schema_input_type=str | list[dict[str, Any]])
    ]


class JsonSchema(Wire):
    """A JSON Schema that the answer keeps to, whether or not `strict` asks for it."""

    name: str = Field(min_length=1, max_length=64)
    description: str | None = Field(None, max_length=1024)
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class TextFormat(Wire):
    """Any text."""

    type: Literal["text"]


class JsonObjectFormat(Wire):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(Wire):
    """JSON that keeps to a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class RegexFormat(Wire):
    """Text that matches a regular expression as a whole. Parley's own."""

    type: Literal["regex"]
    regex: str = Field(min_length=1, max_length=4096)


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat | RegexFormat, Field(discriminator="type")
]


class StreamOptions(Wire):
    """How to stream. `include_obfuscation` is taken and does nothing: it promises no content."""

    include_usage: bool = False
    include_obfuscation: bool = True


class GenerationRequest(Wire):
    """What both endpoints share. `user`, `metadata` and the like ask nothing of the answer."""

    model: str = Field(min_length=1, max_length=256)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, ge=1, le=CHOICES_MAX)
    max_tokens: int | None = Field(None, ge=1, le=TOKENS_MAX)
    stop: Annotated[
        list[str],
        BeforeValidator(_listed, json_schema_input_type=str | list[str]),
        Field(max_length=STOPS_MAX),
        AfterValidator(_short_stops),
    ] = []
    seed: int | None = Field(None, ge=-INT64_MAX - 1, le=INT64_MAX)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    # Not OpenAI's, but common among servers of open models.
    top_k: int | None = Field(None, ge=-1, le=TOP_K_MAX)
    min_p: float | None = Field(None, ge=0, lt=1)
    repetition_penalty: float | None = Field(None, gt=0, le=2)
    response_format: ResponseFormat | None = None
    user: str | None = None
    prompt_cache_key: str | None = Field(
        None,
        max_length=CACHE_KEY_CHARS_MAX,
        description="The same for all requests of a conversation, and no other's: so that the "
        "replica that holds what was computed of it, and the version, are found again. Changes "
        "the time of an answer only.",
    )

    @model_validator(mode="after")
    def _stream_options_need_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            message = "'stream_options' is only allowed together with 'stream': true."
            raise refusal("invalid_value", message, "stream_options")
        return self

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a chunk that counts its tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(GenerationRequest):
    """The body of POST /v1/chat/completions."""

    idle = {
        "audio": (),
        "function_call": ("none",),
        "functions": ([],),
        "logit_bias": ({},),
        "modalities": (["text"],),
        "parallel_tool_calls": (),
        "prediction": (),
        "prompt_cache_retention": (),
        "reasoning_effort": (),
        "service_tier": ("auto", "default"),
        "store": (False,),
        "tool_choice": ("none",),
        "tools": ([],),
        "top_logprobs": (0,),
        "verbosity": (),
        "web_search_options": (),
    }

    messages: list[Message] = Field(min_length=1, max_length=MESSAGES_MAX)
    max_completion_tokens: int | None = Field(None, ge=1, le=TOKENS_MAX)
    logprobs: bool = False
    metadata: dict[str, str] | None = Field(None, max_length=16)
    safety_identifier: str | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            message = "Set 'max_completion_tokens' or the older 'max_tokens', not both."
            raise refusal("invalid_value", message, "max_tokens")
        return self

    @property
    def tokens_max(self) -> int | None:
        """Most tokens of each answer; None leaves it to the model's context."""
        return self.max_completion_tokens or self.max_tokens


def _whole_prompt(value: Any) -> Any:
    """The prompt, out of the list of one that some clients put it into."""
    if isinstance(value, list) and value and not isinstance(value[0], int):
        if len(value) > 1:
            raise refusal("invalid_value", "Only one prompt at a time is supported.")
        value = value[0]
    if value in ("", []):
        raise refusal("invalid_value", "The prompt must not be empty.")
    if isinstance(value, str) or _are_token_ids(value):
        return value
    raise refusal("invalid_type", "The prompt must be a string or a list of token ids.")


def _are_token_ids(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > TOKEN_IDS_MAX:
        return False
    return all(type(token) is int and 0 <= token < 2**32 for token in value)


class CompletionRequest(GenerationRequest):
    """The body of POST /v1/completions."""

    idle = {
        "echo": (False,),
        "logit_bias": ({},),
        "suffix": (),
    }

    # Checked whole by its validator: a union would only lengthen the path of an error.
    prompt: Annotated[
        Any,
        BeforeValidator(
            _whole_prompt, json_schema_input_type=str | list[str] | list[int] | list[list[int]]
        ),
    ]
    # OpenAI's default, which clients of this endpoint count on.
    max_tokens: int | None = Field(16, ge=1, le=TOKENS_MAX)
    logprobs: int | None = Field(None, ge=0, le=1)
    best_of: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _best_of_all(self) -> Self:
        if self.best_of not in (None, self.n):
            message = "Parley does not support 'best_of' other than 'n'."
            raise refusal("unsupported_parameter", message, "best_of")
        return self

    @property
    def tokens_max(self) -> int | None:
        """Most tokens of each answer."""
        return self.max_tokens
