"""Inputs for an engine's sizes, read from the machine and a base model's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from service.fleet.capacity import measure, memory_bytes
from service.inference.engine.sizing import BaseFacts, Facts
from service.models.catalogue import BaseModelEntry
from service.training.model.shape import ModelShape, UnknownShape

_SERVED_WEIGHT_BYTES = 2  # engines serve unquantized weights in 16 bits


def base_facts(entry: BaseModelEntry) -> BaseFacts:
    """Read the properties of a base model from its folder. Missing ones stay unset."""
    try:
        shape = ModelShape.read(entry.path)
    except UnknownShape:
        return BaseFacts(entry.id, weights_bytes(entry), entry.context_length)
    return BaseFacts(
        id=entry.id,
        weights_bytes=weights_bytes(entry),
        context_length=entry.context_length,
        kv_bytes_per_token=2 * shape.layers * shape.kv_width * _SERVED_WEIGHT_BYTES,
        adapter_bytes_per_rank=_SERVED_WEIGHT_BYTES
        * sum(linear.inputs + linear.outputs for linear in shape.adapted("all-linear")),
        kv_heads=shape.kv_heads,
        heads=shape.heads_width * shape.kv_heads // shape.kv_width,
    )


def weights_bytes(entry: BaseModelEntry) -> int:
    """Return the bytes of the weights in an engine; 0 if neither catalog nor folder says."""
    on_disk = sum(file.stat().st_size for file in entry.path.glob("*.safetensors"))
    if entry.parameters is None or _is_quantized(entry.path):
        return on_disk
    return entry.parameters * _SERVED_WEIGHT_BYTES


def engines_bytes(entries: Iterable[BaseModelEntry]) -> list[int]:
    """Return the bytes of the weights in each engine of these base models and their merges."""
    return [size for e in entries for size in [weights_bytes(e)] * e.engines]


def gather(
    entry: BaseModelEntry,
    served: Iterable[BaseModelEntry],
    *,
    has_gpu: bool | None = None,
    highest_rank: int = 0,
    merged: bool = False,
) -> Facts:
    """Collect the facts of an engine on this machine, next to the engines of `served`.

    If `merged` is true, the engine serves one trained model of `entry` and takes no adapters.
    """
    machine = measure()
    return Facts(
        base=base_facts(entry),
        memory_bytes=memory_bytes(),
        has_gpu=machine.device == "cuda" if has_gpu is None else has_gpu,
        gpu_bytes=machine.memory_bytes if machine.device == "cuda" else None,
        served_bytes=sum(engines_bytes(served)),
        highest_rank=highest_rank,
        takes_adapters=not merged,
    )


def _is_quantized(folder: Path) -> bool:
    try:
        return "quantization_config" in json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
