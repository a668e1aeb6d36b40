"""Asks the engine for a token, so that a folder which it cannot run is found before it serves.

Knows an exported folder; knows nothing of how it was made.
"""

import json
from pathlib import Path

_PROMPT_IDS = 4
_ANSWER_TOKENS = 2
_CACHE_GIB = 1
_PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32"}
"""As the engine serves."""


class UnfitError(Exception):
    """A folder that cannot be served; `reason` is UPPER_SNAKE, the words say what to do."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


def try_engine(model: Path, exported: Path) -> list[int]:
    """Has the engine answer a short prompt, and returns the answer's ids.

    Raises UnfitError when it cannot, or when the tokenizer has ids that the network lacks.
    """
    size = json.loads((model / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    _require_ids_below(model / "tokenizer.json", size)
    try:
        ids = _answer(exported, [min(position, size - 1) for position in range(_PROMPT_IDS)])
    except RuntimeError as error:
        raise UnfitError("ENGINE_REFUSED", _words(f"cannot run it: {error}")) from error
    if not ids or not all(0 <= token < size for token in ids):
        raise UnfitError("ENGINE_REFUSED", _words(f"answered with the token ids {ids}"))
    return ids


def _require_ids_below(tokenizer: Path, size: int) -> None:
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(tokenizer)).get_vocab(with_added_tokens=True)
    longest = max(vocabulary.values(), default=-1)
    if longest >= size:
        raise UnfitError(
            "VOCABULARY_DIFFERS",
            f"tokenizer.json has token ids up to {longest}, but config.json has a vocab_size of "
            f"{size}. Use the tokenizer that the model was trained with.",
        )


def _answer(exported: Path, prompt: list[int]) -> list[int]:
    import openvino
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = _CACHE_GIB
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        str(exported), scheduler, "CPU", _PROPERTIES, {}
    )
    greedy = openvino_genai.GenerationConfig(
        max_new_tokens=_ANSWER_TOKENS, do_sample=False, ignore_eos=True
    )
    (result,) = pipeline.generate([openvino.Tensor([prompt])], [greedy])
    return list(result.m_generation_ids[0])


def _words(what: str) -> str:
    return (
        f"The engine {what[:300]}. Check that the folder's config.json and weights belong together."
    )
