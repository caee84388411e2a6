"""The output head on a CPU: logits for supervised tokens alone, a block at a time.

TRL's own fused head does so on CUDA. On other devices it scores every position, masked ones
too, recomputes each tile in the backward pass and multiplies in fp32; with a vocabulary of
49k that is more than half of a step. Here the head is frozen (no adapter may sit on it), so
the gradient of each token's log-probability is known in the forward pass, up to the factor
that the backward pass brings.
"""

from __future__ import annotations

import types
from typing import Any, Final

import torch
from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from service.training.tokens import IGNORED

# 256 x 49k logits in fp32 are 50 MB: a block that stays allocated and fits most caches' reach.
_BLOCK_TOKENS: Final = 256
# Settings by which some models change the plain product of hidden state and weight.
_SCALES: Final = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
    "output_multiplier",
    "output_router_logits",
)


def can_use_cpu_head(model: PreTrainedModel) -> bool:
    """Whether the model's logits are the plain product that `use_cpu_head` computes."""
    config = model.config.get_text_config()
    plain = all(getattr(config, name, None) in (None, False, 1.0) for name in _SCALES)
    return plain and next(model.parameters()).device.type == "cpu"


def use_cpu_head(model: PreTrainedModel) -> None:
    """Makes ``model(..., labels=…, fused_lm_head=True)`` score supervised tokens alone.

    The answer is TRL's `FusedCausalLMOutput` with `log_probs`, `is_top1` and `label_mask` of
    shape (batch, length - 1). Other calls pass through to the forward that was there.
    """
    before = model.forward

    def forward(
        self: PreTrainedModel,
        *args: Any,
        fused_lm_head: bool = False,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head or labels is None:
            return before(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        hidden = self.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        targets = labels[:, 1:]
        mask = targets != IGNORED
        head = self.get_output_embeddings()
        log_probs, is_top1 = _FrozenHead.apply(  # type: ignore[no-untyped-call]
            hidden[mask], targets[mask], head.weight, head.bias
        )
        return FusedCausalLMOutput(
            log_probs=_scatter(log_probs, mask),
            is_top1=_scatter(is_top1, mask),
            label_mask=mask,
        )

    model.forward = types.MethodType(forward, model)


def _scatter(values: Tensor, mask: Tensor) -> Tensor:
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


class _FrozenHead(torch.autograd.Function):
    """(hidden [N, H], targets [N], weight [V, H], bias [V] | None)
    -> (log-probability of each target [N] fp32, whether it is the likeliest token [N] bool)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        count, vocabulary = len(targets), len(weight)
        wants_gradient = ctx.needs_input_grad[0]
        log_probs = hidden.new_empty(count, dtype=torch.float32)
        is_top1 = hidden.new_empty(count, dtype=torch.bool)
        slope = torch.empty_like(hidden, dtype=torch.float32) if wants_gradient else None
        rows = min(count, _BLOCK_TOKENS)
        narrow = weight.new_empty(rows, vocabulary)
        wide = (
            narrow
            if weight.dtype == torch.float32
            else narrow.new_empty(rows, vocabulary, dtype=torch.float32)
        )
        with torch.autocast("cpu", enabled=False):
            for start in range(0, count, _BLOCK_TOKENS):
                part = slice(start, min(start + _BLOCK_TOKENS, count))
                target = targets[part]
                size = len(target)
                torch.mm(hidden[part].to(weight.dtype), weight.t(), out=narrow[:size])
                if bias is not None:
                    narrow[:size] += bias
                logits = wide[:size]
                if logits.dtype != narrow.dtype:
                    logits.copy_(narrow[:size])
                total = logits.logsumexp(-1)
                log_probs[part] = logits.gather(1, target[:, None]).squeeze(1) - total
                is_top1[part] = logits.argmax(-1) == target
                if slope is not None:
                    logits.sub_(total[:, None]).exp_()
                    narrow[:size].copy_(logits)
                    slope[part] = weight[target].float() - (narrow[:size] @ weight).float()
        if slope is not None:
            ctx.save_for_backward(slope)
        ctx.hidden_dtype = hidden.dtype
        ctx.mark_non_differentiable(is_top1)
        return log_probs, is_top1

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return (gradients[0][:, None] * slope).to(ctx.hidden_dtype), None, None, None
