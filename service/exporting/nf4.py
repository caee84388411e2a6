"""The weights of a base model as QLoRA sees them: quantized to NF4, and back to 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

from service.exporting.base_layers import BaseLayers
from service.training.model.nf4_kernel import use_fast_kernel


class Nf4Weights:
    """Rounds each weight that training quantizes to what NF4 keeps of it."""

    def __init__(self, base: Path, layers: BaseLayers) -> None:
        use_fast_kernel()
        found = (layers.find(name) for name in _quantized_modules(base))
        self._quantized = {f"{name}.weight" for name in found if name is not None}

    def __call__(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        return rounded(weight) if name in self._quantized else weight


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """Quantize a weight with the trainer's settings, and dequantize it."""
    packed, state = quantize_4bit(
        weight.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    restored: torch.Tensor = dequantize_4bit(packed, state)
    return restored.to(weight.dtype)


def _quantized_modules(base: Path) -> list[str]:
    """Return the names of the modules that transformers quantizes when it loads the model."""
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    kept = get_keys_to_not_convert(model)
    return [
        name
        for name, module in model.named_modules()
        if type(module) is nn.Linear and should_convert_module(name, kept)
    ]
