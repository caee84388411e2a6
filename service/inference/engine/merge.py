"""Merging of an adapter into its base model: W + s·B·A for each layer that the adapter changes.

Processes the base model's own files, keeps their names and precision, and needs the memory of the
largest one. The sum is computed in float32 and rounded once. The result loads like the base model,
at the same cost.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from service.inference.engine.sizing import RANKS
from service.models.adapter_check import (
    CONFIG,
    WEIGHTS,
    AdapterMismatch,
    BaseLayout,
    check_adapter,
    modules_of,
    tensor_names,
)

# Per-layer values, which vLLM ignores when it serves an adapter, and a weight layout that it does
# not support. Merged, the model would differ from the served adapter.
_NOT_MERGED = ("rank_pattern", "alpha_pattern", "fan_in_fan_out", "layer_replication")


def merge(base: Path, adapter: Path, target: Path) -> None:
    """Write the base model in `base`, merged with `adapter`, to `target`.

    The result is a Hugging Face folder. It is flushed to disk when this returns, and incomplete if
    this raises. Raises AdapterMismatch if the two cannot be merged, and OSError, for example if the
    disk is full.
    """
    layout = BaseLayout.read(base)
    if layout.quantized:
        raise AdapterMismatch(
            "the base model is quantized: an adapter cannot be merged into its weights"
        )
    check_adapter(adapter, layout, max_rank=RANKS[-1])
    changed = _changed(adapter, layout)
    scale, tensors = _scale(adapter), load_file(adapter / WEIGHTS)
    files = [f for f in sorted(base.iterdir()) if f.is_file()]
    _check_room(target, sum(f.stat().st_size for f in files))
    target.mkdir(parents=True)
    for file in files:
        if file.suffix == ".safetensors":
            try:
                _write_merged(file, target / file.name, changed, tensors, scale)
            except SafetensorError as e:  # also raised if the disk is full
                raise OSError(f"{file.name} cannot be read or written: {e}") from e
        elif not file.name.startswith("."):
            shutil.copyfile(file, target / file.name)
            flush(target / file.name)
    flush(target)


def _changed(adapter: Path, layout: BaseLayout) -> dict[str, str]:
    """Map each base-model tensor that the adapter changes to the adapter's module."""
    changed: dict[str, str] = {}
    for module in modules_of(adapter):
        weight = layout.weight_of(module)
        if weight is None or len(layout.shapes.get(weight, ())) != 2:
            raise AdapterMismatch(f"{module} has no weight of its own in the base model's files")
        changed[weight] = module
    return changed


def _scale(adapter: Path) -> float:
    config: dict[str, Any] = json.loads((adapter / CONFIG).read_text("utf-8"))
    for name in _NOT_MERGED:
        if config.get(name):
            raise AdapterMismatch(f"it uses {name}, which cannot be merged here")
    rank = int(config["r"])
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _write_merged(
    source: Path,
    target: Path,
    changed: Mapping[str, str],
    adapter: Mapping[str, torch.Tensor],
    scale: float,
) -> None:
    weights: dict[str, torch.Tensor] = {}
    with safe_open(source, framework="pt") as file:
        about = file.metadata()
        for name in file.keys():  # noqa: SIM118 - not a mapping
            weights[name] = file.get_tensor(name)
            if (module := changed.get(name)) is not None:
                a, b = (adapter[side].float() for side in tensor_names(module))
                summed = weights[name].float().addmm_(b, a, alpha=scale)
                weights[name] = summed.to(weights[name].dtype)
    save_file(weights, target, about)
    flush(target)


def _check_room(target: Path, needed: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise OSError(
            f"the merged model needs {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free "
            f"at {target.parent}"
        )


def flush(path: Path) -> None:
    """Flush a path to disk, so that a power loss leaves no incomplete file that looks complete."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
