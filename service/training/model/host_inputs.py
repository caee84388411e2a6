"""Inputs of layers in the host's memory, for rows so long that they do not fit on the GPU.

With gradient checkpointing, a layer keeps nothing but its input until its backward pass. For a row
of 32,768 tokens, the inputs of all layers of an 8B model are 8 GiB. Here they are copied to the
host, and back when the layer is computed again. A layer computes far longer on them than PCIe takes
to copy them: 8 GiB of 16 bits take about 0.7 s both ways, and the step tens of seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

Checkpointed = Callable[..., Any]


def keep_inputs_on_host(model: PreTrainedModel) -> None:
    """Have gradient checkpointing, whenever it is enabled, keep the inputs of layers on the host.

    Trainers enable it when they begin, and again after passes without it.
    """
    original: Any = model._set_gradient_checkpointing  # noqa: SLF001

    def set_on_host(
        enable: bool = True,  # as transformers calls it
        gradient_checkpointing_func: Checkpointed = checkpoint,
        **options: Any,
    ) -> None:
        original(
            enable=enable,
            gradient_checkpointing_func=partial(_on_host, gradient_checkpointing_func),
            **options,
        )

    model._set_gradient_checkpointing = set_on_host  # noqa: SLF001


def _on_host(checkpointed: Checkpointed, layer: Callable[..., Any], *inputs: Any) -> Any:
    # What the layer saves for its own backward pass has hooks of its own, from checkpoint().
    with saved_tensors_hooks(to_host, to_device):
        return checkpointed(layer, *inputs)


def to_host(tensor: Tensor) -> tuple[torch.device, Tensor]:
    """Copy a tensor to the host, in the order of the computation. Also returns its device."""
    is_cuda = tensor.device.type == "cuda"
    copy = torch.empty_like(tensor, device="cpu", pin_memory=is_cuda)
    copy.copy_(tensor, non_blocking=is_cuda)
    return tensor.device, copy


def to_device(kept: tuple[torch.device, Tensor]) -> Tensor:
    """Copy a tensor back to its device."""
    device, copy = kept
    return copy.to(device, non_blocking=True)
