"""Trains in float16, on GPUs that lack bfloat16 (before compute capability 8.0, such as a T4).

The adapter, its gradients and the optimizer are in float32, as in any other run. The base model and
the computation are in float16, whose range is small: gradients below 6e-8 vanish and values above
65,504 are infinite. So the loss is multiplied by a power of two before the backward pass, and the
gradients are divided by it. If one is not finite, the batch is computed again with half the factor.
torch's GradScaler would skip the batch instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import torch
from torch.nn import Parameter

from service.training.contract.spec import TrainSpec
from service.training.model.models import ComputeDevice
from service.training.model.shape import dtype_of

STATE_NAME: Final = "loss_scale.json"
_LARGEST: Final = 2.0**16
_SMALLEST: Final = 1.0
# Steps without an infinite gradient after which the factor is doubled, as in GradScaler.
_GROWS_AFTER: Final = 2000


def choose_dtype(device: ComputeDevice, spec: TrainSpec) -> ComputeDevice:
    """Return `device` with float32 instead of float16 if the base model needs its range."""
    if device.dtype != torch.float16:
        return device
    try:
        config: Any = json.loads((spec.base_model_path / "config.json").read_bytes())
    except (OSError, ValueError):
        return device  # loading the model reports it
    kind = config.get("model_type") if isinstance(config, dict) else None
    return ComputeDevice(device.type, getattr(torch, dtype_of("cuda", kind, has_bf16=False)))


class LossScale:
    """The factor of the loss, which adapts to the range of the gradients."""

    def __init__(self) -> None:
        self.factor = _LARGEST
        self._steps = 0  # since the last change

    @property
    def is_exhausted(self) -> bool:
        """Whether the gradients are not finite even without a factor."""
        return self.factor < _SMALLEST

    def unscale(self, parameters: Sequence[Parameter]) -> bool:
        """Divide the gradients by the factor.

        Returns False if one is not finite. The factor is then halved, and the gradients must be
        computed again.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not all(torch.stack([g.isfinite().all() for g in gradients]).tolist()):
            self.factor, self._steps = self.factor / 2, 0
            return False
        for gradient in gradients:
            gradient.div_(self.factor)
        self._steps += 1
        if self._steps == _GROWS_AFTER and self.factor < _LARGEST:
            self.factor, self._steps = self.factor * 2, 0
        return True

    def write(self, checkpoint: Path) -> None:
        """Add the state to a checkpoint that is not sealed yet. Raises OSError."""
        state = {"factor": self.factor, "steps": self._steps}
        (checkpoint / STATE_NAME).write_text(json.dumps(state))

    def read(self, checkpoint: Path) -> None:
        """Restore the state from a verified checkpoint, if it has one."""
        path = checkpoint / STATE_NAME
        if path.is_file():
            state: dict[str, Any] = json.loads(path.read_bytes())
            self.factor, self._steps = float(state["factor"]), int(state["steps"])


def half_precision(device: ComputeDevice) -> AbstractContextManager[None]:
    """Return the context that computes in float16 what is stable in it."""
    context: AbstractContextManager[None] = torch.autocast(device.type, torch.float16)
    return context
