"""Computes logits for supervised tokens only, one block at a time.

TRL's own fused head runs Triton kernels on CUDA. On other devices, it scores every position,
including masked ones, recomputes each tile in the backward pass, and multiplies in fp32. With a
vocabulary of 49k, that is more than half of a step. Here the head is frozen (no adapter may target
it), so the gradient of each token's log-probability is known in the forward pass, up to the factor
supplied by the backward pass. Plain torch operations do this on every device.
"""

from __future__ import annotations

import functools
import types
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from service.training.data.batches import scored_positions
from service.training.data.tokenization import IGNORED
from service.training.model.shape import block_tokens


@dataclass(frozen=True, slots=True)
class Logits:
    """Transformation that a model applies to the product of hidden state and weight.

    The product is multiplied by `scale`, and then soft-capped to the range of plus and minus `cap`.
    A `temperature` divides the result.
    """

    scale: float = 1.0
    cap: float | None = None
    temperature: float = 1.0

    @classmethod
    def for_model(cls, model: PreTrainedModel) -> Logits:
        """Read the values that the model's own forward uses from its configuration."""
        config = model.config.get_text_config()
        cap = getattr(config, "final_logit_softcapping", None)
        for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
            if (scale := getattr(config, name, None)) is not None:
                return cls(float(scale), cap)
        if (scaling := getattr(config, "logits_scaling", None)) is not None:
            # Granite and MiniCPM3 divide by this value.
            multiplies = config.model_type == "hyperclovax"
            return cls(float(scaling) if multiplies else 1 / scaling, cap)
        return cls(cap=cap)


def use_frozen_head(model: PreTrainedModel) -> None:
    """Make ``model(..., labels=…, fused_lm_head=True)`` score supervised tokens only.

    The result is TRL's `FusedCausalLMOutput` with `log_probs`, `is_top1` and `label_mask` of shape
    (batch, length - 1). `scored` has the positions of these tokens (see `scored_positions`);
    without it, they are looked for, for which a GPU must finish its work. A `temperature` divides
    the logits. Other calls pass through to the original forward.
    """
    before, logits = model.forward, Logits.for_model(model)
    below = _below_head(model)

    @functools.wraps(type(model).forward)  # `generate` looks at its parameters
    def forward(
        self: PreTrainedModel,
        *args: Any,
        fused_lm_head: bool = False,
        labels: Tensor | None = None,
        scored: Tensor | None = None,
        temperature: float = 1.0,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head or labels is None:
            return before(*args, **kwargs, **({} if labels is None else {"labels": labels}))
        rows, columns = scored_positions(labels) if scored is None else scored
        hidden = below(*args, **kwargs).last_hidden_state
        mask = labels[:, 1:] != IGNORED
        head = self.get_output_embeddings()
        log_probs, is_top1 = _FrozenHead.apply(  # type: ignore[no-untyped-call]
            hidden[rows, columns],
            labels[rows, columns + 1],
            _whole(head.weight),
            _whole(head.bias),
            replace(logits, temperature=temperature),
        )
        return FusedCausalLMOutput(
            log_probs=log_probs.new_zeros(mask.shape).index_put((rows, columns), log_probs),
            is_top1=is_top1.new_zeros(mask.shape).index_put((rows, columns), is_top1),
            label_mask=mask,
        )

    model.forward = types.MethodType(forward, model)


def _below_head(model: PreTrainedModel) -> Any:
    """Return the part of a model that computes the hidden states for its head."""
    below: Any = model.base_model
    while below.get_output_embeddings() is not None:  # Llama 4 nests two models with the head
        below = getattr(below, "language_model", None) or below.model
    return below


def _whole(tensor: Tensor | None) -> Tensor | None:
    """Return the full tensor, of which FSDP may keep only a part on this device."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


class _FrozenHead(torch.autograd.Function):
    """Log-probabilities of target tokens under a frozen head.

    Inputs: hidden [N, H], targets [N], weight [V, H], bias [V] | None, and the logit
    transformation. Outputs: the log-probability of each target [N] fp32, and whether it is the most
    likely token [N] bool.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        logits: Logits,
    ) -> tuple[Tensor, Tensor]:
        count, wants_gradient = len(targets), ctx.needs_input_grad[0]
        log_probs = hidden.new_empty(count, dtype=torch.float32)
        is_top1 = hidden.new_empty(count, dtype=torch.bool)
        slope = torch.empty_like(hidden, dtype=torch.float32) if wants_gradient else None
        block = _Block(weight, bias, logits, tokens=count)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, count, block.tokens):
                part = slice(start, min(start + block.tokens, count))
                log_probs[part], is_top1[part] = block.score(hidden[part], targets[part])
                if slope is not None:
                    slope[part] = block.slope(targets[part])
        if slope is not None:
            ctx.save_for_backward(slope)
        ctx.hidden_dtype = hidden.dtype
        ctx.mark_non_differentiable(is_top1)
        return log_probs, is_top1

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return (gradients[0][:, None] * slope).to(ctx.hidden_dtype), None, None, None, None


class _Block:
    """Logits of a block of tokens, in buffers that are allocated once.

    Products use the dtype of the weights and everything else uses fp32. For fp32 weights, both are
    the same buffer.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, logits: Logits, tokens: int) -> None:
        vocabulary = len(weight)
        self.tokens = max(min(tokens, block_tokens(vocabulary, weight.element_size())), 1)
        self._weight, self._bias, self._logits = weight, bias, logits
        self._narrow = weight.new_empty(self.tokens, vocabulary)
        self._wide = self._narrow
        if weight.dtype != torch.float32:
            self._wide = weight.new_empty(self.tokens, vocabulary, dtype=torch.float32)

    def score(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the targets, and whether each is the most likely token."""
        narrow, wide = self._narrow[: len(targets)], self._wide[: len(targets)]
        torch.mm(hidden.to(narrow.dtype), self._weight.t(), out=narrow)
        if self._bias is not None:
            narrow += self._bias
        if wide.dtype != narrow.dtype:
            wide.copy_(narrow)
        if self._logits.scale != 1.0:
            wide *= self._logits.scale
        if self._logits.cap is not None:
            wide.div_(self._logits.cap).tanh_().mul_(self._logits.cap)
        if self._logits.temperature != 1.0:
            wide /= self._logits.temperature
        self._total = wide.logsumexp(-1)
        chosen = wide.gather(1, targets[:, None]).squeeze(1)
        return chosen - self._total, wide.argmax(-1) == targets

    def slope(self, targets: Tensor) -> Tensor:
        """Gradients of the log-probabilities from `score` with respect to the hidden states."""
        narrow, wide = self._narrow[: len(targets)], self._wide[: len(targets)]
        cap, temperature = self._logits.cap, self._logits.temperature
        bend = None if cap is None else 1 - (wide * (temperature / cap)).square_()
        wide.sub_(self._total[:, None]).exp_()
        rows = self._weight[targets].float()
        if bend is not None:
            wide *= bend
            rows *= bend.gather(1, targets[:, None])
        narrow.copy_(wide)
        return (rows - (narrow @ self._weight).float()) * (self._logits.scale / temperature)
