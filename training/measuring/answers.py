"""Asks a model folder's network questions, many at a time, and how likely it finds answers.

Runs transformers on the safetensors weights, greedily. Knows nothing of right and wrong.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.data.rows import Row
from training.tuning.chats import Chats

if TYPE_CHECKING:
    pass

ANSWER_TOKENS_MAX = 256
_SLACK_TOKENS = 8
_BATCH = 64
_TOKENS_MAX = 2048
_TIMED = 5


class Answerer:
    """One model folder, loaded."""

    def __init__(self, folder: Path, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self._chats = Chats(folder)
        self._network = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
        )
        self._network.eval()

    def answer(
        self, rows: Sequence[Row], check: Callable[[int], None] = lambda _: None
    ) -> list[str]:
        """The answers to rows' questions, in their order. `check` hears how many are done."""
        found: dict[int, str] = {}
        prompts = sorted(enumerate(map(self._chats.prompt, rows)), key=lambda pair: len(pair[1]))
        for start in range(0, len(prompts), _BATCH):
            batch = prompts[start : start + _BATCH]
            longest = max(len(self._chats.encode_text(rows[at].answer)) for at, _ in batch)
            tokens_max = min(ANSWER_TOKENS_MAX, longest + _SLACK_TOKENS)
            answers = self._generate([ids for _, ids in batch], tokens_max)
            found |= {at: answer for (at, _), answer in zip(batch, answers, strict=True)}
            check(len(found))
        return [found[at] for at in range(len(rows))]

    def median_latency_ms(self, rows: Sequence[Row]) -> float:
        """Time for one whole answer, alone; the middle one of a few."""
        times = []
        for row in rows[:_TIMED]:
            began_s = time.perf_counter()
            self.answer([row])
            times.append((time.perf_counter() - began_s) * 1000)
        return sorted(times)[len(times) // 2]

    def perplexity(
        self, rows: Sequence[Row], check: Callable[[int], None] = lambda _: None
    ) -> float:
        """How many tokens the model wavers between, on average, at each of the right answers."""
        total, count = 0.0, 0
        encoded = [self._encode(row) for row in rows]
        order = sorted(encoded, key=lambda pair: len(pair[0]))
        for start in range(0, len(order), _BATCH // 4):
            loss, learnt = self._loss(order[start : start + _BATCH // 4])
            total, count = total + loss, count + learnt
            check(start)
        return math.exp(min(total / max(count, 1), 700.0))

    def _encode(self, row: Row) -> tuple[list[int], list[int]]:
        if row.messages:
            prompt, answered = self._chats.answered(row.messages, row.answer)
        else:
            prompt, answered = [], [*self._chats.encode_text(row.answer), self._chats.end_id]
        labels = [-100] * len(prompt) + answered
        return (prompt + answered)[:_TOKENS_MAX], labels[:_TOKENS_MAX]

    def _loss(self, batch: Sequence[tuple[list[int], list[int]]]) -> tuple[float, int]:
        import torch
        from torch.nn.functional import cross_entropy

        longest = max(len(ids) for ids, _ in batch)
        pad = self._chats.pad_id
        ids = torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in batch])
        labels = torch.tensor([given + [-100] * (longest - len(given)) for _, given in batch])
        with torch.inference_mode():
            logits = self._network(input_ids=ids).logits[:, :-1].float()
        wanted = labels[:, 1:]
        loss = cross_entropy(logits.transpose(1, 2), wanted, ignore_index=-100, reduction="sum")
        return float(loss), int((wanted != -100).sum())

    def _generate(self, prompts: Sequence[list[int]], tokens_max: int) -> list[str]:
        import torch

        longest = max(map(len, prompts))
        pad, end = self._chats.pad_id, self._chats.end_id
        ids = torch.tensor([[pad] * (longest - len(one)) + one for one in prompts])
        seen = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts])
        with torch.inference_mode():
            told: torch.Tensor = self._network.generate(
                input_ids=ids,
                attention_mask=seen,
                max_new_tokens=tokens_max,
                do_sample=False,
                eos_token_id=end,
                pad_token_id=pad,
            )
        return [self._words(row, end) for row in told[:, longest:].tolist()]

    def _words(self, ids: list[int], end: int) -> str:
        return self._chats.decode(ids[: ids.index(end)] if end in ids else ids)
