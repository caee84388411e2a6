"""Rotary embeddings, where vLLM 0.32 computes others than transformers.

- Its kernel for CPUs reads queries and keys as rows of heads side by side. The latent attention of
  DeepSeek's models has a dimension for heads, so the kernel rotates the wrong numbers for all
  tokens but the first: scores differ by 0.6 nats from transformers' in tiny models.
- It reorders the weights of Llama 4's queries and keys, but not those of adapters, which then
  change other outputs than in training: scores differ by 0.4 nats.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def install(base: Path) -> None:
    """Let vLLM compute the same as transformers for the model in a folder."""
    _rotate_dimensions_for_heads()
    if heads := _llama4_head_width(base):
        _reorder_adapters(heads)


def _rotate_dimensions_for_heads() -> None:
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding

    kernel = RotaryEmbedding.forward_cpu

    def forward(self: Any, positions: Any, query: Any, key: Any = None) -> Any:
        if query.dim() > 2:
            return self.forward_native(positions, query, key)
        return kernel(self, positions, query, key)

    RotaryEmbedding.forward_cpu = forward


def _llama4_head_width(base: Path) -> int | None:
    """Return the width of a head of Llama 4; None if the folder has another model."""
    try:
        config = json.loads((base / "config.json").read_bytes())
        config = config.get("text_config", config)
        if config["model_type"] != "llama4_text":
            return None
        return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # vLLM reports what is wrong with the folder


def _reorder_adapters(head_width: int) -> None:
    from vllm.lora.lora_model import LoRAModel

    make = LoRAModel.from_lora_tensors.__func__

    def make_reordered(cls: Any, lora_model_id: int, tensors: Any, *args: Any, **named: Any) -> Any:
        reordered = {name: _reordered(name, of, head_width) for name, of in tensors.items()}
        return make(cls, lora_model_id, reordered, *args, **named)

    LoRAModel.from_lora_tensors = classmethod(make_reordered)


def _reordered(name: str, tensor: Any, head_width: int) -> Any:
    """Reorder the outputs of queries and keys as `permute_qk_weight_for_rotary` of vLLM does.

    From pairs side by side to the first of all pairs, then the second of all.
    """
    if not name.endswith(("q_proj.lora_B.weight", "k_proj.lora_B.weight")):
        return tensor
    pairs = tensor.unflatten(0, (-1, head_width // 2, 2))
    return pairs.transpose(1, 2).reshape(tensor.shape)
