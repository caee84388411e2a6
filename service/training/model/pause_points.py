"""Points inside a micro-step at which a paced training can rest: each layer, in both directions.

A micro-step of 1,500 tokens takes seconds on a CPU. Smaller ones would round differently, so that
the losses would depend on the chats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


def add_pause_points(model: nn.Module, pause: Callable[[], None]) -> None:
    """Call `pause` before each layer of the model, and after its backward pass."""
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.register_forward_pre_hook(partial(_before, pause), with_kwargs=True)


def _before(
    pause: Callable[[], None], _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    pause()
    inputs = args[0] if args else kwargs.get("hidden_states")
    if isinstance(inputs, torch.Tensor) and inputs.requires_grad:
        # It returns None, so the gradient does not change.
        inputs.register_hook(lambda _gradient: pause())  # type: ignore[no-untyped-call]
