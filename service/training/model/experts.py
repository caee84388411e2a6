"""Loads the experts of a mixture in NF4, as bitsandbytes does with linear layers.

transformers joins the weights of all experts of a layer into tensors of three dimensions, which
bitsandbytes leaves in 16 bits: 57 GB of the 61 GB of Qwen3-30B-A3B. Here they are quantized as they
are loaded, one tensor at a time, and dequantized while their layer computes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from bitsandbytes.functional import QuantState, quantize_4bit
from bitsandbytes.nn.parametrize import Bnb4bitParametrization, _register_parametrization_hooks
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.integrations.bitsandbytes import Bnb4bitQuantize
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING
from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer

from service.training.contract.adapter_config import is_expert, is_outside_text_decoder


def quantize_on(device: str) -> None:
    """Let transformers quantize on this device what it loads in NF4 in this process, and experts.

    Otherwise, a model that is loaded onto the host, to be sharded, would be quantized there.
    """
    _Quantizer.computes_on = device
    AUTO_QUANTIZER_MAPPING["bitsandbytes_4bit"] = _Quantizer


class _Quantizer(Bnb4BitHfQuantizer):
    """transformers' quantizer, also for the weights of experts."""

    computes_on: ClassVar[str] = "cpu"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.states: dict[str, QuantState] = {}
        """By the name of the tensor that was quantized."""

    def param_needs_quantization(
        self, model: PreTrainedModel, param_name: str, **options: Any
    ) -> bool:
        if super().param_needs_quantization(model, param_name, **options):
            return True
        module, _, name = param_name.rpartition(".")
        weight = model.get_submodule(module)._parameters.get(name)  # noqa: SLF001
        return (
            is_expert(module)
            and not is_outside_text_decoder(module)
            and weight is not None
            and weight.dim() == 3
        )

    def get_quantize_ops(self) -> Bnb4bitQuantize:
        return _Quantize(self)

    def _process_model_after_weight_loading(
        self, model: PreTrainedModel, **options: Any
    ) -> PreTrainedModel:
        dequantize_when_used(model, self.states)
        return super()._process_model_after_weight_loading(model, **options)


class _Quantize(Bnb4bitQuantize):
    def convert(
        self, input_dict: dict[str, Any], model: nn.Module | None = None, **options: Any
    ) -> dict[str, Tensor]:
        assert model is not None
        ((name, given),) = input_dict.items()
        loaded: Tensor = given[0] if isinstance(given, list) else given
        value = loaded.to(self.hf_quantizer.computes_on)
        module, _, parameter = name.rpartition(".")
        if getattr(model.get_submodule(module), parameter).dim() != 3:
            done: dict[str, Tensor] = super().convert({name: [value]}, model=model, **options)
            return done if value is loaded else {name: done[name].to(loaded.device)}
        config = self.hf_quantizer.quantization_config
        packed, state = quantize_4bit(
            value,
            compress_statistics=config.bnb_4bit_use_double_quant,
            quant_type=config.bnb_4bit_quant_type,
            quant_storage=config.bnb_4bit_quant_storage,
        )
        state.to(loaded.device)
        self.hf_quantizer.states[name] = state
        return {name: nn.Parameter(packed.to(loaded.device), requires_grad=False)}


def dequantize_when_used(model: nn.Module, states: Mapping[str, QuantState]) -> None:
    """Dequantize experts whenever they compute. `states` are by the name of their parameter."""
    for name, state in states.items():
        module, _, parameter = name.rpartition(".")
        experts = model.get_submodule(module)
        parametrize.register_parametrization(
            experts, parameter, Bnb4bitParametrization(state), unsafe=True
        )
        _register_parametrization_hooks(experts, parameter)
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            _recompute_experts(layer)


def _recompute_experts(layer: GradientCheckpointingLayer) -> None:
    """Keep the dequantized weights of a layer's experts only while they compute.

    Otherwise a layer without gradient checkpointing would keep them until its backward pass.
    """
    for experts in layer.modules():
        if parametrize.is_parametrized(experts):
            forward = experts.forward
            experts.forward = functools.partial(_recomputed, layer, forward)


def _recomputed(layer: Any, forward: Any, *args: Any) -> Tensor:
    if not torch.is_grad_enabled() or (layer.gradient_checkpointing and layer.training):
        computed: Tensor = forward(*args)
    else:
        computed = checkpoint(forward, *args, use_reentrant=False)
    return computed
