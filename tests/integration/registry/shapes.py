"""Model folders of several families, as transformers writes them, with random weights."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from training.quiet import quiet_libraries

END = "<|endoftext|>"
VOCABULARY = 300
POSITIONS = 128
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
_SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": POSITIONS,
}  # fmt: skip
_GPT2_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS}
_IDS = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0}
FAMILIES = ("llama", "gpt2", "qwen2")


def make_shape(family: str, folder: Path, template: str = "") -> Path:
    """Makes a folder of a family; qwen2's weights are bfloat16, as most that people import."""
    with quiet_libraries():
        import torch

        torch.manual_seed(0)
        network = _network(family)
        if family == "qwen2":
            network = network.to(torch.bfloat16)
        network.save_pretrained(folder)
        _tokenizer(template).save_pretrained(folder)
    return folder


def _network(family: str) -> Any:
    import transformers

    if family == "gpt2":
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**_GPT2_SIZES, **_IDS))
    name = {"llama": "Llama", "qwen2": "Qwen2"}[family]
    config = getattr(transformers, f"{name}Config")(**_SIZES, **_IDS)
    return getattr(transformers, f"{name}ForCausalLM")(config)


def _tokenizer(template: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["What is the capital of France?"] * 3, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)
    made.chat_template = template or None
    return made
