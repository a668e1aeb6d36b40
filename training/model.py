"""Llama-shaped models with fresh weights, and the training loop.

Knows token ids and which of them to learn; knows nothing of text, topics or files.
"""

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from training.examples import Example
from training.sizes import Recipe, Shape
from training.tokenizer import PAD_ID, TURN_END_ID

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM


def build_model(shape: Shape, vocabulary: int, seed: int) -> "LlamaForCausalLM":
    """A model with random weights, the same for the same seed."""
    import torch
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

    Needs examples for all steps: each is used once. Raises ValueError when they run out.
    """
    import torch

    torch.set_num_threads(recipe.threads)
    model.train()
    optimizers = _optimizers(model, recipe)
    batches = _batches(examples, recipe.batch_tokens, Random(seed))
    if len(batches) < recipe.steps:
        raise ValueError(f"{recipe.steps} steps need more examples: these make {len(batches)}")
    for step, batch in enumerate(batches[: recipe.steps]):
        loss = _loss(model, *_tensors(batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * _schedule(step, recipe)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        on_step(step + 1, float(loss.detach()))
    model.eval()


def _optimizers(
    model: "LlamaForCausalLM", recipe: Recipe
) -> list[tuple["torch.optim.Optimizer", float]]:
    import torch

    from training.muon import Muon

    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        (Muon(matrices, lr=recipe.matrix_rate), recipe.matrix_rate),
        (
            torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.98), weight_decay=0.01),
            recipe.other_rate,
        ),
    ]


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


def _loss(model: "LlamaForCausalLM", ids: "torch.Tensor", learnt: "torch.Tensor") -> "torch.Tensor":
    """Mean cross-entropy of the learnt ids; the output layer runs for those alone."""
    from torch.nn.functional import cross_entropy

    states = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    wanted = learnt[:, 1:]
    return cross_entropy(model.lm_head(states[wanted]), ids[:, 1:][wanted])
