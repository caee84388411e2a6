"""Tokens that go through the model at once, by the memory that is free once it is loaded.

The spec has the number that was planned for the whole GPU. If other processes use a part of it,
this finds the number that fits the rest, by the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, cast

import torch

from service.training.contract.precision import Dtype
from service.training.contract.spec import TrainSpec
from service.training.loop.estimate import Device, bytes_beyond_loading
from service.training.model.models import Place
from service.training.model.shape import ModelShape, UnknownShape
from service.training.parallel.ranks import Ranks

# Of the free memory; as in the plan, the rest covers the allocator and the error of the estimate.
_USABLE: Final = 0.9


class _Sized(Protocol):
    @property
    def length(self) -> int: ...


def free_bytes(spec: TrainSpec) -> int:
    """Memory of the GPU that this process may still take."""
    free, _ = torch.cuda.mem_get_info()
    reserved = torch.cuda.memory_reserved()
    free += reserved - torch.cuda.memory_allocated()
    if spec.max_memory_bytes is not None:
        free = min(free, spec.max_memory_bytes - torch.cuda.memory_allocated())
    return max(free, 0)


def fitting_tokens(
    spec: TrainSpec, longest: int, free: int, *, device: Device, dtype: Dtype
) -> int:
    """Return the planned number of tokens, or the largest of its halves that fits.

    `longest` is the length of the longest sample, which goes through the model as a whole even if
    it does not fit.
    """
    planned = spec.budget(device)
    try:
        shape = ModelShape.read(spec.base_model_path)
    except UnknownShape:
        return planned
    least = longest * spec.of_method.rows_per_sample
    tokens = planned
    while tokens > least:
        needed = bytes_beyond_loading(
            shape,
            spec.hyperparameters,
            method=spec.of_method.name,
            longest=longest,
            tokens_at_once=tokens,
            gradient_checkpointing=spec.gradient_checkpointing,
            inputs_on_host=spec.inputs_on_host,
            device=device,
            dtype=dtype,
            gpus=spec.gpus,
        )
        if needed <= _USABLE * free:
            break
        tokens = max(tokens // 2, least)
    return tokens


def settle_tokens(
    spec: TrainSpec, place: Place, ranks: Ranks, samples: Sequence[_Sized]
) -> tuple[TrainSpec, str | None]:
    """Return the spec for the memory that is free now, and the reason if it differs.

    All ranks take the same number, so that they compute the same number of parts.
    """
    if place.device != "cuda" or spec.sharding == "fsdp":
        return spec, None
    # Prompts get answers.
    longest = max(sample.length for sample in samples) + spec.longest_answer
    free = free_bytes(spec)
    found = fitting_tokens(
        spec, longest, free, device="cuda", dtype=cast("Dtype", place.dtype_name)
    )
    tokens, planned = ranks.least(found), spec.budget(place.device)
    if tokens >= planned:
        return spec, None
    reason = (
        f"At most {tokens:,} tokens go through the model at once instead of {planned:,}: only "
        f"{free / 2**30:.1f} GiB of the GPU's memory are free. The result is the same."
    )
    return spec.model_copy(update={"tokens_at_once": tokens}), reason
