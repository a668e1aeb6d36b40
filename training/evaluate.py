"""Asks an exported model the held-out questions, and counts the answers that are exactly right.

Runs the engine that serves, on chats encoded as in training. Knows nothing of training itself.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from training.dialogues import HELD_OUT_COUNTS, Dialogue, held_out_dialogues
from training.export import OPENVINO_FOLDER
from training.tokenizer import TURN_END_ID, encode_chat, load_tokenizer

_ANSWER_TOKENS_MAX = 64
_CACHE_GIB = 1
_STREAMS = 16


@dataclass(frozen=True)
class Score:
    """How many answers of a category were exactly right."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.right / self.asked if self.asked else 0.0


@dataclass(frozen=True)
class Evaluation:
    """Scores by category, and the answers that were not the expected ones."""

    scores: dict[str, Score]
    wrong: tuple[tuple[str, str, str], ...]
    """Category, question, answer."""

    @property
    def topics(self) -> Score:
        """Held-out wordings of what was trained, all topics together: the model's bar."""
        return self._sum([name for name in self.scores if name in HELD_OUT_COUNTS])

    @property
    def overall(self) -> Score:
        """Every category, the hard ones too: unseen subjects, follow-ups, strange openings."""
        return self._sum(list(self.scores))

    def _sum(self, names: Sequence[str]) -> Score:
        scores = [self.scores[name] for name in names]
        return Score(sum(score.right for score in scores), sum(score.asked for score in scores))


def evaluate(model: Path, dialogues: Sequence[Dialogue]) -> Evaluation:
    """Answers each dialogue's last question, greedily, through the model folder's exported form."""
    right: dict[str, list[bool]] = defaultdict(list)
    wrong = []
    for dialogue, answer in zip(dialogues, answer_all(model, dialogues), strict=True):
        is_right = answer == dialogue.messages[-1].content
        right[dialogue.category].append(is_right)
        if not is_right:
            wrong.append((dialogue.category, dialogue.messages[-2].content, answer))
    scores = {name: Score(sum(marks), len(marks)) for name, marks in right.items()}
    return Evaluation(scores, tuple(wrong))


def answer_all(model: Path, dialogues: Sequence[Dialogue]) -> list[str]:
    """The model's answer to each dialogue's last question, in order."""
    import openvino
    import openvino_genai

    tokenizer = load_tokenizer(model)
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        str(model / OPENVINO_FOLDER), _scheduler(), "CPU"
    )
    greedy = openvino_genai.GenerationConfig(
        max_new_tokens=_ANSWER_TOKENS_MAX, eos_token_id=TURN_END_ID, do_sample=False
    )
    prompts = [
        openvino.Tensor([encode_chat(tokenizer, [asdict(m) for m in chat.messages[:-1]], True)])
        for chat in dialogues
    ]
    results = pipeline.generate(prompts, [greedy] * len(prompts))
    return [tokenizer.decode(result.m_generation_ids[0]) for result in results]


def _scheduler() -> object:
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = _CACHE_GIB
    scheduler.max_num_seqs = _STREAMS
    return scheduler


def main() -> int:
    """Prints the scores of a model folder, and every answer that was not the expected one."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description="Ask a model the held-out questions."
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model folder")
    result = evaluate(parser.parse_args().model, held_out_dialogues())
    for category, question, answer in result.wrong:
        print(f"{category}: {question}\n    {answer}")
    totals = {"topics": result.topics, "overall": result.overall}
    for name, score in (result.scores | totals).items():
        print(f"{name:16} {score.right:4} of {score.asked:4}  {score.share:7.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
