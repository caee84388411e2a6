"""LoRA on CPUs, in place of vLLM 0.32's own operators there.

vLLM's CPU operators index the stacked adapter weights with each token's slot. Tokens of
the base model have slot -1, which Python takes for the last one: in a batch with others
the base model answers with somebody's adapter (vllm#48421, open). They also copy the
weights once for every token.

Here tokens are grouped by slot once a step, and each group is one matrix product with its
adapter's weights; tokens of the base model are in no group. On 2 cores, 8 requests, rank 8:
see the figures in `docs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Rows = slice | torch.Tensor
Groups = list[tuple[int, Rows]]


class GroupedLoRA(PunicaWrapperCPU):
    """vLLM's CPU wrapper with its two products replaced."""

    _by_token: Groups
    _by_sample: Groups

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        """Called once a step: which rows belong to which adapter slot."""
        super().update_metadata(*args, **kwargs)
        self._by_token = group(self.token_lora_indices.tolist())
        self._by_sample = group(self.sampler_indices.tolist())

    def _apply_shrink(
        self, y: torch.Tensor, x: torch.Tensor, w_t_all: torch.Tensor, scale: float
    ) -> None:
        shrink(y, x, w_t_all, scale, self._by_token)

    def _apply_expand(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        w_t_all: torch.Tensor,
        y_offset: int,
        y_slice_size: int,
        add_inputs: bool = True,
    ) -> None:
        expand(y[:, y_offset : y_offset + y_slice_size], x, w_t_all, self._by_token, add_inputs)

    def add_lora_embedding(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """`y += x @ B` for each token's adapter."""
        expand(y, x, lora_b_stacked, self._by_token, add_inputs)

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
        """`y += (x @ A) * scale @ B` for each sampled position's adapter."""
        y = y.view(-1, y.shape[-1])
        x = x.view(-1, x.shape[-1])
        if buffer is None:
            buffer = x.new_zeros((x.size(0), lora_b_stacked.size(-1)), dtype=torch.float32)
        shrink(buffer, x, lora_a_stacked, scale, self._by_sample)
        expand(y, buffer, lora_b_stacked, self._by_sample, add_inputs=True)


def group(slots: Sequence[int]) -> Groups:
    """Rows by adapter slot, as slices where they are neighbours; -1 is in no group."""
    rows: dict[int, list[int]] = {}
    for row, slot in enumerate(slots):
        if slot >= 0:
            rows.setdefault(slot, []).append(row)
    return [(slot, _as_slice(of_slot)) for slot, of_slot in rows.items()]


def _as_slice(rows: list[int]) -> Rows:
    first, last = rows[0], rows[-1]
    if last - first + 1 == len(rows):
        return slice(first, last + 1)
    return torch.tensor(rows, dtype=torch.long)


def shrink(
    y: torch.Tensor, x: torch.Tensor, weights: torch.Tensor, scale: float, groups: Groups
) -> None:
    """`y[rows] = scale * x[rows] @ weights[slot]ᵀ`; x [tokens, in], y [tokens, rank].

    `weights` is [slots, 1, rank, in] or [slots, rank, in].
    """
    for slot, rows in groups:
        weight = weights[slot].view(weights.shape[-2:])
        y[rows, : weight.shape[0]] = (x[rows].to(weight.dtype) @ weight.t()).to(y.dtype) * scale


def expand(
    y: torch.Tensor, x: torch.Tensor, weights: torch.Tensor, groups: Groups, add_inputs: bool
) -> None:
    """`y[rows] += x[rows] @ weights[slot]ᵀ`; x [tokens, rank], y [tokens, out].

    Without `add_inputs` it is set. Adapter and model may pad their width differently: the
    common part is written.
    """
    for slot, rows in groups:
        weight = weights[slot].view(weights.shape[-2:])
        width = min(weight.shape[0], y.shape[1])
        delta = (x[rows].to(weight.dtype) @ weight.t())[:, :width].to(y.dtype)
        if not add_inputs:
            y[rows, :width] = delta
        elif isinstance(rows, slice):
            y[rows, :width] += delta
        else:
            y[:, :width].index_add_(0, rows, delta)


def install() -> None:
    """Make vLLM use it on CPUs; elsewhere its own kernels are right and fast."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return

    def get_punica_wrapper(_: type) -> str:
        return f"{GroupedLoRA.__module__}.{GroupedLoRA.__qualname__}"

    type(current_platform).get_punica_wrapper = classmethod(get_punica_wrapper)
