"""Reads the inputs of an engine's sizes from the machine and a base model's folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from service.fleet.capacity import capability, measure, memory_bytes
from service.inference.engine.sizing import BaseModelSizes, Quantization, SizingInputs
from service.models.catalogue import BaseModelEntry
from service.training.loop.estimate import loaded_bytes
from service.training.model.base_folder import weight_files
from service.training.model.shape import ModelShape, UnknownShape

_SERVED_WEIGHT_BYTES = 2  # engines serve unquantized weights in 16 bits
# vLLM computes with weights in FP8 from here on: with its Marlin kernels, or natively from 8.9.
_FP8_CAPABILITY = (7, 5)


def base_model_sizes(entry: BaseModelEntry) -> BaseModelSizes:
    """Read the properties of a base model from its folder. Missing ones stay unset.

    They are those of the weights that the catalog entry chooses, in 16 bits if it leaves the choice
    to the engine.
    """
    chosen = entry.serving_quantization
    quantization: Quantization = "none" if chosen == "auto" else chosen
    weights = weights_bytes(entry)
    try:
        shape = ModelShape.read(entry.path)
    except UnknownShape:
        return BaseModelSizes(entry.id, weights, entry.context_length, quantization=quantization)
    return BaseModelSizes(
        id=entry.id,
        weights_bytes=weights,
        context_length=entry.context_length,
        kv_bytes_per_token=2 * shape.layers * shape.kv_width * _SERVED_WEIGHT_BYTES,
        adapter_bytes_per_rank=_SERVED_WEIGHT_BYTES
        * sum(linear.inputs + linear.outputs for linear in shape.adapted("all-linear")),
        kv_heads=shape.kv_heads,
        heads=shape.heads_width * shape.kv_heads // shape.kv_width,
        quantization=quantization,
    )


def alternatives(
    entry: BaseModelEntry, base: BaseModelSizes, capability: tuple[int, int] | None = None
) -> tuple[BaseModelSizes, ...]:
    """Return the smaller weights that an engine may load instead, in the order of preference.

    `capability` is the GPU's compute capability, if known. NF4 is not chosen for a mixture of
    experts: vLLM's kernels for experts in NF4 were not tried.
    """
    if entry.serving_quantization != "auto" or _is_quantized(entry.served_path):
        return ()
    try:
        shape = ModelShape.read(entry.path)
    except UnknownShape:
        return ()
    found: list[Quantization] = []
    if capability is None or capability >= _FP8_CAPABILITY:
        found.append("fp8")
    if not shape.experts:
        found.append("nf4")
    return tuple(
        replace(base, quantization=name, weights_bytes=quantized_bytes(shape, name))
        for name in found
    )


def quantized_bytes(shape: ModelShape, quantization: Quantization) -> int:
    """Return the bytes of the weights in an engine, whose embeddings and head have 16 bits."""
    match quantization:
        case "fp8":
            return shape.parameters + shape.ends
        case "nf4":
            return loaded_bytes(shape, "nf4")
        case "none":
            return shape.parameters * _SERVED_WEIGHT_BYTES


def weights_bytes(entry: BaseModelEntry) -> int:
    """Return the bytes of the weights in an engine; 0 if neither catalog nor folder says."""
    folder = entry.served_path
    if _is_quantized(folder):
        return _on_disk(folder)
    if entry.serving_quantization in ("fp8", "nf4"):
        with suppress(UnknownShape):
            return quantized_bytes(ModelShape.read(entry.path), entry.serving_quantization)
    if entry.parameters is None:
        return _on_disk(folder)
    return entry.parameters * _SERVED_WEIGHT_BYTES


def _on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in weight_files(folder))


def on_this_gpu(models: Collection[str], entries: Iterable[BaseModelEntry]) -> list[BaseModelEntry]:
    """Return the entries with only the engines of these models, or all if none is named."""
    if not models:
        return list(entries)
    return [
        entry.model_copy(update={"served": entry.served and entry.id in models})
        for entry in entries
    ]


def engines_bytes(entries: Iterable[BaseModelEntry]) -> list[int]:
    """Return the bytes of the weights in each engine of these base models."""
    return [weights_bytes(entry) for entry in entries if entry.served]


def gather(
    entry: BaseModelEntry,
    served: Iterable[BaseModelEntry],
    *,
    has_gpu: bool | None = None,
    highest_rank: int = 0,
) -> SizingInputs:
    """Collect the sizing inputs of an engine on this machine, next to the engines of `served`."""
    machine = measure()
    base = base_model_sizes(entry)
    return SizingInputs(
        base=base,
        memory_bytes=memory_bytes(),
        has_gpu=machine.device == "cuda" if has_gpu is None else has_gpu,
        gpu_bytes=machine.memory_bytes if machine.device == "cuda" else None,
        served_bytes=sum(engines_bytes(served)),
        highest_rank=highest_rank,
        alternatives=alternatives(entry, base, capability()) if machine.device == "cuda" else (),
    )


def _is_quantized(folder: Path) -> bool:
    try:
        return "quantization_config" in json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
