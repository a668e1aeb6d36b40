"""Llama-shaped models with fresh weights, and the training loop.

Knows token ids and which of them to learn; knows nothing of text, topics or files.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING

from training.examples import Example
from training.quiet import without
from training.sizes import Recipe, Shape
from training.tokenizer import PAD_ID, TURN_END_ID

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM


SHARES = 2
"""Parts that each step is cut into, however many cores there are: the sums' order is fixed."""


def build_model(shape: Shape, vocabulary: int, seed: int) -> "LlamaForCausalLM":
    """A model with random weights, the same for the same seed."""
    import torch

    with without("sklearn"):  # and pandas with it, for a way to generate that is not ours
        from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=shape.positions,
            tie_word_embeddings=True,
            pad_token_id=PAD_ID,
            bos_token_id=None,
            eos_token_id=TURN_END_ID,
        )
    )
    model.generation_config = GenerationConfig(
        pad_token_id=PAD_ID, eos_token_id=TURN_END_ID, do_sample=False
    )
    return model


def train(
    model: "LlamaForCausalLM",
    examples: Sequence[Example],
    recipe: Recipe,
    seed: int,
    on_step: Callable[[int, float], None],
) -> None:
    """Trains for the recipe's steps; on_step gets the steps done and the loss.

    Two threads share each step where there are two cores; one core gives the very same weights.
    Needs examples for all steps: each is used once. Raises ValueError when they run out.
    """
    batches = _batches(examples, recipe.batch_tokens, Random(seed))
    if len(batches) < recipe.steps:
        raise ValueError(f"{recipe.steps} steps need more examples: these make {len(batches)}")
    model.train()
    with _team() as team:
        optimizers = _optimizers(model, recipe, team)
        for step, batch in enumerate(batches[: recipe.steps]):
            loss = _set_gradients(model, batch, team)
            _change(optimizers, _schedule(step, recipe))
            on_step(step + 1, loss)
    model.eval()


@contextmanager
def _team() -> Iterator[Executor]:
    """A thread for each share of a step, or for as many as there are cores to run them.

    Threads of ours and not PyTorch's: matrices of this size are too small to be cut up by rows.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    cores = len(os.sched_getaffinity(0))
    try:
        with ThreadPoolExecutor(
            min(SHARES, cores), "training", lambda: torch.set_num_threads(1)
        ) as team:
            yield team
    finally:
        torch.set_num_threads(before)


def _set_gradients(model: "LlamaForCausalLM", batch: Sequence[Example], team: Executor) -> float:
    """Gives every parameter the gradient of the batch's mean loss, which is returned.

    The shares are added in their order, so roundings do not depend on who is done first.
    """
    import torch

    parameters = list(model.parameters())
    learnt = sum(sum(example.learnt) for example in batch)

    def work(share: Sequence[Example]) -> tuple[float, tuple["torch.Tensor", ...]]:
        loss = _loss_sum(model, *_tensors(share)) / learnt
        return float(loss.detach()), torch.autograd.grad(loss, parameters)

    shares = [share for first in range(SHARES) if (share := batch[first::SHARES])]
    losses, gradients = zip(*team.map(work, shares), strict=True)
    for parameter, *parts in zip(parameters, *gradients, strict=True):
        parameter.grad = sum(parts[1:], start=parts[0])
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    return math.fsum(losses)


def _optimizers(
    model: "LlamaForCausalLM", recipe: Recipe, team: Executor
) -> list[tuple["torch.optim.Optimizer", float]]:
    """Each optimiser and its peak rate."""
    import torch

    from training.muon import Muon

    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        (Muon(matrices, lr=recipe.matrix_rate, team=team), recipe.matrix_rate),
        (
            torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.98), weight_decay=0.01),
            recipe.other_rate,
        ),
    ]


def _change(optimizers: list[tuple["torch.optim.Optimizer", float]], share: float) -> None:
    """One step of each optimiser, at a share of its peak rate."""
    for optimizer, peak in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = peak * share
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to nothing."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def _batches(examples: Sequence[Example], batch_tokens: int, rng: Random) -> list[list[Example]]:
    """Examples of like length together, so that little is padding; batches in random order."""
    batches: list[list[Example]] = []
    batch: list[Example] = []
    for example in sorted(examples, key=lambda example: len(example.ids)):
        if batch and len(example.ids) * (len(batch) + 1) > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(example)
    rng.shuffle(batches)
    return batches


def _tensors(batch: Sequence[Example]) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Ids and learnt flags, both [examples, longest]; padding stands at the right, unlearnt.

    Attention looks back only, so padding at the right needs no mask.
    """
    import torch

    longest = max(len(example.ids) for example in batch)
    ids = [example.ids + (PAD_ID,) * (longest - len(example.ids)) for example in batch]
    learnt = [example.learnt + (False,) * (longest - len(example.ids)) for example in batch]
    return torch.tensor(ids), torch.tensor(learnt)


def _loss_sum(
    model: "LlamaForCausalLM", ids: "torch.Tensor", learnt: "torch.Tensor"
) -> "torch.Tensor":
    """Summed cross-entropy of the learnt ids; the output layer runs for those alone."""
    from torch.nn.functional import cross_entropy

    states = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    wanted = learnt[:, 1:]
    return cross_entropy(model.lm_head(states[wanted]), ids[:, 1:][wanted], reduction="sum")
