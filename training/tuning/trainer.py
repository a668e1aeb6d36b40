"""TRL's trainer, with the loss taken over the answers alone where that is the same.

The library runs the output layer for every token of a prompt as well, which is most of the work
of a small model. Knows the library; knows nothing of data or jobs.
"""

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from training.tuning.watch import StepWatch

_IGNORED = -100
_SHAPED_HEADS = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of networks that change what their output layer says."""


class AnswerTrainer(SFTTrainer):
    """Learns answers; tells the watch how many tokens went through."""

    def __init__(self, watch: StepWatch, **rest: Any) -> None:
        super().__init__(callbacks=[watch], **rest)
        self._watch = watch
        core = self.model.get_base_model() if rest.get("peft_config") else self.model
        config = core.config.get_text_config()
        has_plain_head = not any(getattr(config, name, None) for name in _SHAPED_HEADS)
        decoder, head = core.get_decoder(), core.get_output_embeddings()
        self._parts = (decoder, head) if has_plain_head and decoder is not core else None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **rest: Any
    ) -> Any:
        """The mean over the tokens that shall be learnt."""
        self._watch.tokens += int(inputs["attention_mask"].sum())
        if self._parts is None or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, **rest)
        decoder, head = self._parts
        labels: torch.Tensor = inputs["labels"][:, 1:]
        wanted = labels != _IGNORED
        states = decoder(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
        ).last_hidden_state
        return cross_entropy(head(states[:, :-1][wanted]).float(), labels[wanted])
