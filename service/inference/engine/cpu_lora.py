"""LoRA on CPUs, in place of vLLM 0.32's own operators there.

vLLM's CPU operators index the stacked adapter weights with each token's slot. Tokens of
the base model have slot -1, which Python takes for the last one: in a batch with others
the base model answers with somebody's adapter (vllm#48421, open). They also copy the
weights once for each token.

Here tokens are grouped by slot once a step, and each group is one product with its
adapter's weights; tokens of the base model are in no group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Stacked = Sequence[torch.Tensor]
"""For each part of a fused layer: A [slots, 1, rank, in] or B [slots, 1, out, rank]."""


@dataclass(frozen=True)
class Plan:
    """Which rows of a batch belong to which adapter slot."""

    groups: tuple[tuple[int, int, int], ...]
    """Slot, first row, last row + 1; rows counted in `order` where there is one."""
    order: torch.Tensor | None
    """The batch's rows sorted by slot; None where neighbours already are."""

    @classmethod
    def of(cls, slots: Sequence[int]) -> Plan:
        """The plan of a batch with these slots, -1 for the base model."""
        rows = sorted((slot, row) for row, slot in enumerate(slots) if slot >= 0)
        groups: list[tuple[int, int, int]] = []
        for place, (slot, _) in enumerate(rows):
            if groups and groups[-1][0] == slot:
                groups[-1] = (slot, groups[-1][1], place + 1)
            else:
                groups.append((slot, place, place + 1))
        first = rows[0][1] if rows else 0
        order = [row for _, row in rows]
        if order == list(range(first, first + len(order))):
            return cls(tuple((s, a + first, b + first) for s, a, b in groups), None)
        return cls(tuple(groups), torch.tensor(order, dtype=torch.long))


class GroupedLoRA(PunicaWrapperCPU):
    """vLLM's CPU wrapper with its products replaced."""

    _by_token = Plan((), None)
    _by_sample = Plan((), None)

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        """Called once a step, before the layers run."""
        super().update_metadata(*args, **kwargs)
        self._by_token = Plan.of(self.token_lora_indices.tolist())
        self._by_sample = Plan.of(self.sampler_indices.tolist())

    def add_lora_linear(  # vLLM's signature
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[torch.Tensor, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        """`y[:, part] += x @ Aᵀ @ Bᵀ * scale` for each part of a layer."""
        add(
            self._by_token,
            y,
            x,
            a_stacked=lora_a_stacked,
            b_stacked=lora_b_stacked,
            scale=scale,
            widths=output_slices,
        )

    def add_lora_embedding(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """`y += x @ Bᵀ`; x is A's rows, looked up by token."""
        add(
            self._by_token,
            y,
            x,
            a_stacked=(None,),
            b_stacked=(lora_b_stacked,),
            scale=1.0,
            widths=(y.shape[-1],),
        )

    def add_lora_logits(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        scale: float,
        *,
        buffer: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """`y += x @ Aᵀ @ Bᵀ * scale`, a row for each sampled position."""
        add(
            self._by_sample,
            y,
            x,
            a_stacked=(lora_a_stacked,),
            b_stacked=(lora_b_stacked,),
            scale=scale,
            widths=(y.shape[-1],),
        )


def add(
    plan: Plan,
    y: torch.Tensor,
    x: torch.Tensor,
    *,
    a_stacked: Sequence[torch.Tensor | None],
    b_stacked: Stacked,
    scale: float,
    widths: Sequence[int],
) -> None:
    """Add each row's adapter to y [rows, sum(widths)], from x [rows, in], in place."""
    if not plan.groups:
        return
    x, whole = x.view(-1, x.shape[-1]), y.view(-1, y.shape[-1])
    out = whole
    if plan.order is not None:
        x, out = x.index_select(0, plan.order), whole.index_select(0, plan.order)
    for slot, first, end in plan.groups:
        offset, rows = 0, x[first:end]
        for a, b, width in zip(a_stacked, b_stacked, widths, strict=True):
            hidden = rows if a is None else rows @ _of_slot(a, slot).t()
            weight = _of_slot(b, slot)[:width]  # the adapter's may be padded further
            target = out[first:end, offset : offset + weight.shape[0]]
            if hidden.dtype == target.dtype == weight.dtype:
                target.addmm_(hidden, weight.t(), alpha=scale)
            else:
                target += (hidden.to(weight.dtype) @ weight.t()).to(target.dtype) * scale
            offset += width
    if plan.order is not None:
        whole.index_copy_(0, plan.order, out)


def _of_slot(stacked: torch.Tensor, slot: int) -> torch.Tensor:
    return stacked[slot, 0] if stacked.dim() == 4 else stacked[slot]


def install() -> None:
    """Make vLLM use it on CPUs; elsewhere its own kernels are right and fast."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return

    def get_punica_wrapper(_: type) -> str:
        return f"{GroupedLoRA.__module__}.{GroupedLoRA.__qualname__}"

    type(current_platform).get_punica_wrapper = classmethod(get_punica_wrapper)
