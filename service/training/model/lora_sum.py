"""Adapted layers that add the low-rank product to the output of the base layer in place.

PEFT converts the input of each layer to the adapter's float32, which autocast converts back, and
allocates three tensors of the width of the output: the product, its multiple by the scaling, and
the sum. One `addmm_` does all of it in the memory of the base layer's output. Layers that share an
input then also share what they keep of it for the backward pass.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn


def sum_in_place(model: PeftModel | Any) -> None:
    """Make the adapted linear layers of `model` add in place.

    What PEFT does otherwise than by that product, such as DoRA, is left to it, as are merged
    weights and inputs of another dtype than the adapter's without autocast.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer) and isinstance(module.base_layer, nn.Linear):
            layer: Any = module
            layer.forward = types.MethodType(_forward(layer.forward), layer)


def _forward(before: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        name = _plain_adapter(self, x)
        if name is None or args or kwargs:
            return before(x, *args, **kwargs)
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        # In two dimensions, the output is no view, whose change in place would be copied backward.
        rows = x.flatten(0, -2)
        inner = nn.functional.linear(self.lora_dropout[name](rows), down)
        output: Tensor = self.base_layer(rows)
        # autocast does not convert the arguments of operations in place.
        factors = inner.to(output.dtype), up.to(output.dtype).t()
        output = output.addmm_(*factors, alpha=self.scaling[name])
        return output.view(*x.shape[:-1], output.shape[-1])

    return forward


def _plain_adapter(layer: Any, x: Tensor) -> str | None:
    """Return the adapter whose product is to be added. None if that is left to PEFT."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    if (
        name not in layer.lora_A
        or name in layer.lora_variant
        or layer.lora_B[name].bias is not None
    ):
        return None
    is_converted = torch.is_autocast_enabled(x.device.type)
    return name if is_converted or x.dtype == layer.lora_A[name].weight.dtype else None
