"""What other servers are known to take, in one table. Pure.

A server that is not known takes only what all of them do. What is missing here is refused by name,
since many servers pass over in silence what they do not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

NOTHING: Mapping[str, Any] = MappingProxyType({})
Kind = Literal["auto", "parley", "vllm", "sglang", "openai", "transformers", "other"]

# Names are those of GenerateRequest's fields, so that a refusal names what the caller gave.
_BASIC = frozenset({"text", "sampling.temperature", "sampling.top_p", "stopping.stop_strings"})
_OPENAI = _BASIC | {
    "sampling.presence_penalty",
    "sampling.frequency_penalty",
    "sampling.seed",
    "output_format.json_schema",
    "output_format.json_object",
    "logprobs",
}
_OPEN_MODELS = _OPENAI | {
    "tokens",
    "sampling.top_k",
    "sampling.min_p",
    "sampling.repetition_penalty",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    Args:
        takes: fields of GenerateRequest that it honours, besides conversations and `tokens_max`.
        chat_tokens_field: what it calls `tokens_max` of a chat.
        usage_option: whether the stream's usage must be asked for.
        always: fields of every request to it, by which tokens can be told from one another.
        completions_always: the same for text and token prompts.
        regex_field: what it calls a regular expression; empty for Parley's own response format.
        alive: the path that says whether it is there.
        lists_model: whether its list of models names every one that it serves.
        repeats: whether greedy and seeded answers are the same each time.
    """

    takes: frozenset[str]
    chat_tokens_field: str = "max_tokens"
    usage_option: bool = True
    always: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    completions_always: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    regex_field: str = ""
    alive: str = "/v1/models"
    lists_model: bool = True
    repeats: bool = False


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "parley": Dialect(
            _OPEN_MODELS | {"output_format.regex"},
            # Its chunks hold any number of tokens; the log probabilities have one entry for each.
            always={"logprobs": True},
            completions_always={"logprobs": 1},
            repeats=True,
        ),
        "vllm": Dialect(
            # Regular expressions have had three names in it, and the wrong ones say nothing.
            _OPEN_MODELS | {"stopping.ignore_end"},
            always={"return_token_ids": True},
            completions_always={"return_token_ids": True},
        ),
        "sglang": Dialect(
            _OPEN_MODELS | {"stopping.ignore_end", "output_format.regex"}, regex_field="regex"
        ),
        "openai": Dialect(_OPENAI, chat_tokens_field="max_completion_tokens"),
        # Batching continuously, it samples all requests as the first one wished, ignores stop
        # strings, and its list is that of a download cache.
        "transformers": Dialect(
            frozenset(), usage_option=False, alive="/health", lists_model=False
        ),
        "other": Dialect(_BASIC),
    }
)
_OWNERS = {"parley": "parley", "vllm": "vllm", "sglang": "sglang", "openai": "openai"}


def kind_of(owner: object) -> str:
    """The kind of a server by what its models' `owned_by` says."""
    return _OWNERS.get(owner, "other") if isinstance(owner, str) else "other"
