"""LoRA operators for CPUs that replace those of vLLM 0.32.

vLLM's CPU operators index the stacked adapter weights with each token's slot. Tokens of the base
model have slot -1, which Python treats as the last slot: in a mixed batch, the base model answers
with some project's adapter (vllm#48421, open). They also copy the weights once per token.

Here tokens are grouped by slot once per step; tokens of the base model are in no group. A large
group is one product with its adapter's weights. Small groups, as in decoding, are combined in one
batched product, because calling torch takes longer than computing those: eight adapters with one
row each took six times as long as one adapter with eight rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Stacked = Sequence[torch.Tensor]
"""For each part of a fused layer: A [slots, 1, rank, in] or B [slots, 1, out, rank]."""


# Slots with at most this many rows are combined, padded to the largest of them.
_FEW_ROWS = 16
# Slots between those in use are computed too and discarded; at most as many as are in use.
_MAX_SPAN = 2


@dataclass(frozen=True)
class Group:
    """The rows of one slot."""

    slot: int
    rows: torch.Tensor | slice


@dataclass(frozen=True)
class Together:
    """Several slots with few rows each, laid out as [slots, most, ...]."""

    first_slot: int
    slots: int
    most: int
    """Rows per slot. Slots with fewer are padded with other rows, whose results are dropped."""
    taken: torch.Tensor
    """For each place of the layout, the row of the batch that fills it."""
    places: torch.Tensor
    """For each of these slots' rows, its place in the layout."""
    rows: torch.Tensor | None
    """Those rows, in the order of `places`; None if they are the whole batch."""

    @classmethod
    def build(cls, few: dict[int, list[int]], batch: int) -> Together:
        """Build the layout of rows by slot, for a batch of `batch` rows."""
        first, last = min(few), max(few)
        most = max(map(len, few.values()))
        taken = [0] * ((last - first + 1) * most)
        place_of = {}
        for slot, rows in few.items():
            for place, row in enumerate(rows, start=(slot - first) * most):
                taken[place], place_of[row] = row, place
        rows = sorted(place_of)
        return cls(
            first_slot=first,
            slots=last - first + 1,
            most=most,
            taken=torch.tensor(taken, dtype=torch.long),
            places=torch.tensor([place_of[row] for row in rows], dtype=torch.long),
            rows=None if len(rows) == batch else torch.tensor(rows, dtype=torch.long),
        )


class Views:
    """Slot weights transposed for the products; cached for a plan, which serves many steps."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, int, int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def get(self, stacked: torch.Tensor, first: int, count: int, width: int) -> torch.Tensor:
        """Return `count` slots from `first` of stacked [slots, 1, out, in], as [count, in, width].

        If `count` is 0, returns only the slot `first`, without the first dimension.
        """
        key = (id(stacked), first, count, width)
        view = self._views.get(key)
        if view is None:
            weights = stacked[:, 0] if stacked.dim() == 4 else stacked
            slots = weights[first : first + count] if count else weights[first]
            # Keeps the tensor alive, so that no other tensor can get its id.
            view = self._views[key] = (stacked, slots[..., :width, :].transpose(-1, -2))
        return view[1]


@dataclass(frozen=True)
class Plan:
    """The rows of a batch that belong to each adapter slot."""

    slots: tuple[int, ...] = ()
    groups: tuple[Group, ...] = ()
    together: Together | None = None
    views: Views = field(default_factory=Views)

    def following(self, slots: Sequence[int]) -> Plan:
        """Return the plan of the next batch: this one if the slots are unchanged."""
        return self if tuple(slots) == self.slots else Plan.build(slots)

    @classmethod
    def build(cls, slots: Sequence[int]) -> Plan:
        """Build the plan of a batch with these slots; -1 is the base model."""
        by_slot: dict[int, list[int]] = {}
        for row, slot in enumerate(slots):
            if slot >= 0:
                by_slot.setdefault(slot, []).append(row)
        few = {slot: rows for slot, rows in by_slot.items() if len(rows) <= _FEW_ROWS}
        if len(few) < 2 or max(few) - min(few) + 1 > _MAX_SPAN * len(few):
            few = {}
        groups = (Group(s, _indexes(rows)) for s, rows in by_slot.items() if s not in few)
        together = Together.build(few, len(slots)) if few else None
        return cls(tuple(slots), tuple(groups), together)


def _indexes(rows: list[int]) -> torch.Tensor | slice:
    """Return consecutive rows as a slice, which needs no copy; other rows as a tensor."""
    if rows[-1] - rows[0] + 1 == len(rows):
        return slice(rows[0], rows[-1] + 1)
    return torch.tensor(rows, dtype=torch.long)


class GroupedLoRA(PunicaWrapperCPU):
    """vLLM's CPU wrapper with its products replaced."""

    _by_token = Plan()
    _by_sample = Plan()

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        """Update the plan. Called once per step, before the layers run."""
        super().update_metadata(*args, **kwargs)
        self._by_token = self._by_token.following(self.token_lora_indices.tolist())
        self._by_sample = self._by_sample.following(self.sampler_indices.tolist())

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
        """Compute `y[:, part] += x @ Aᵀ @ Bᵀ * scale` for each part of a layer."""
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
        """Compute `y += x @ Bᵀ`, where x holds A's rows, looked up by token."""
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
        """Compute `y += x @ Aᵀ @ Bᵀ * scale` for the positions whose logits are wanted."""
        add(
            self._of_logits(x),
            y,
            x,
            a_stacked=(lora_a_stacked,),
            b_stacked=(lora_b_stacked,),
            scale=scale,
            widths=(y.shape[-1],),
        )

    def _of_logits(self, x: torch.Tensor) -> Plan:
        """Return the plan of the hidden states `x`: of all samples, or of a part of the batch.

        For `prompt_logprobs`, vLLM asks for the logits of one request's prompt at a time, and
        passes that part of the batch as a view of all hidden states.
        """
        is_part = x.untyped_storage().nbytes() > x.nbytes
        if len(x) == len(self._by_sample.slots) and not is_part:
            return self._by_sample
        first = x.storage_offset() // x.stride(0)
        return Plan.build(self._by_token.slots[first : first + len(x)])


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
    """Add each row's adapter output to y [rows, sum(widths)] in place, from x [rows, in]."""
    x, y = x.view(-1, x.shape[-1]), y.view(-1, y.shape[-1])
    offset = 0
    taken = None
    if plan.together is not None:
        taken = x.index_select(0, plan.together.taken)
        taken = taken.view(plan.together.slots, plan.together.most, -1)
    for a, b, width in zip(a_stacked, b_stacked, widths, strict=True):
        out = y[:, offset : offset + min(width, b.shape[-2])]  # b may be padded further
        for group in plan.groups:
            _add_group(plan.views, group, out, x, a, b, scale)
        if plan.together is not None and taken is not None:
            _add_together(plan.views, plan.together, out, taken, a, b, scale)
        offset += width


def _add_group(
    views: Views,
    group: Group,
    out: torch.Tensor,
    x: torch.Tensor,
    a: torch.Tensor | None,
    b: torch.Tensor,
    scale: float,
) -> None:
    rows = x[group.rows]
    hidden = rows if a is None else rows @ views.get(a, group.slot, 0, a.shape[-2])
    weight = views.get(b, group.slot, 0, out.shape[-1])
    same_type = hidden.dtype == weight.dtype == out.dtype
    if same_type and isinstance(group.rows, slice):
        out[group.rows].addmm_(hidden, weight, alpha=scale)
    else:
        out[group.rows] += (hidden.to(weight.dtype) @ weight).to(out.dtype) * scale


def _add_together(
    views: Views,
    layout: Together,
    out: torch.Tensor,
    taken: torch.Tensor,
    a: torch.Tensor | None,
    b: torch.Tensor,
    scale: float,
) -> None:
    first, count = layout.first_slot, layout.slots
    hidden = taken if a is None else torch.bmm(taken, views.get(a, first, count, a.shape[-2]))
    weight = views.get(b, first, count, out.shape[-1])
    added = torch.bmm(hidden.to(weight.dtype), weight).flatten(0, 1)
    added = added.index_select(0, layout.places).to(out.dtype)
    if layout.rows is None:
        out.add_(added, alpha=scale)
    else:
        out.index_add_(0, layout.rows, added, alpha=scale)


def install() -> None:
    """Install the operators in vLLM on CPUs. Elsewhere its own kernels are correct and fast."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return

    def get_punica_wrapper(_: type) -> str:
        return f"{GroupedLoRA.__module__}.{GroupedLoRA.__qualname__}"

    type(current_platform).get_punica_wrapper = classmethod(get_punica_wrapper)
