"""Rotary embeddings and adapters of attention, where vLLM 0.32 computes others than transformers.

- Its kernel for CPUs reads queries and keys as rows of heads side by side. The latent attention of
  DeepSeek's models has a dimension for heads, so the kernel rotates the wrong numbers for all
  tokens but the first: scores differ by 0.6 nats from transformers' in tiny models.
- It reorders the weights of Llama 4's queries and keys, but not those of adapters, which then
  change other outputs than in training: scores differ by 0.4 nats.
- In Gemma 4's layers with one layer for keys and values, it loads that layer's weights for both,
  but its adapters for keys only: scores differ by 0.07 nats.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.training.contract.adapter_config import path_in_layers
from service.training.model.base_folder import read_config


def install(base: Path) -> None:
    """Let vLLM compute the same as transformers for the model in a folder."""
    _rotate_dimensions_for_heads()
    if heads := _llama4_head_width(base):
        _change_adapters(
            lambda tensors: {name: _reordered(name, of, heads) for name, of in tensors.items()}
        )
    if layers := _layers_without_values(base):
        _change_adapters(lambda tensors: _with_values(tensors, layers))


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
    config = _text_config(base)
    with suppress(ValueError, KeyError, TypeError):
        if config["model_type"] == "llama4_text":
            width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
            return int(width)
    return None


def _layers_without_values(base: Path) -> frozenset[str]:
    """Return the numbers of Gemma 4's layers whose keys are values too."""
    config = _text_config(base)
    if not config.get("attention_k_eq_v"):
        return frozenset()
    kinds = config.get("layer_types") or ()
    return frozenset(str(n) for n, kind in enumerate(kinds) if kind == "full_attention")


def _text_config(base: Path) -> dict[str, Any]:
    config = read_config(base) or {}  # vLLM reports what is wrong with the folder
    text = config.get("text_config", config)
    return text if isinstance(text, dict) else {}


def _change_adapters(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the tensors of adapters, by their names, when vLLM reads them."""
    from vllm.lora.lora_model import LoRAModel

    make = LoRAModel.from_lora_tensors.__func__

    def make_changed(cls: Any, lora_model_id: int, tensors: Any, *args: Any, **named: Any) -> Any:
        return make(cls, lora_model_id, change(tensors), *args, **named)

    LoRAModel.from_lora_tensors = classmethod(make_changed)


def _with_values(tensors: dict[str, Any], layers: frozenset[str]) -> dict[str, Any]:
    """Add the adapter of the keys as that of the values, in these layers."""
    keys = {name: path_in_layers(name).split(".") for name in tensors if ".k_proj." in name}
    values = {
        name.replace(".k_proj.", ".v_proj."): tensors[name]
        for name, path in keys.items()
        if path[1] in layers
    }
    return {**tensors, **values}


def _reordered(name: str, tensor: Any, head_width: int) -> Any:
    """Reorder the outputs of queries and keys as `permute_qk_weight_for_rotary` of vLLM does.

    From pairs side by side to the first of all pairs, then the second of all.
    """
    if not name.endswith(("q_proj.lora_B.weight", "k_proj.lora_B.weight")):
        return tensor
    pairs = tensor.unflatten(0, (-1, head_width // 2, 2))
    return pairs.transpose(1, 2).reshape(tensor.shape)
