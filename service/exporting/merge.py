"""Merging an adapter into its base model, file by file.

Only one file of weights is in memory at a time, and the model's code is not needed. What cannot be
merged this way is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from service.exporting.contract import ExportFailure

INDEX: Final = "model.safetensors.index.json"
_PREFIX: Final = "base_model.model."
_PARTS: Final = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_magnitude_vector": "magnitude",
}


def merge(base: Path, adapter: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Write the merged weights and config.json to `target`, in bfloat16.

    The files are named as those of the base model. Raises `ExportFailure`.
    """
    deltas = Deltas(adapter)
    files = weight_files(base)
    places: dict[str, str] = {}
    total_bytes = 0
    target.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files):
        progress(number, len(files))
        tensors = {name: deltas.merged(name, tensor) for name, tensor in _tensors(file)}
        save_file(tensors, target / file.name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, file.name)
        total_bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    deltas.check_all_used()
    if len(files) > 1:
        index = {"metadata": {"total_size": total_bytes}, "weight_map": places}
        (target / INDEX).write_text(json.dumps(index, indent=2), "utf-8")
    config = read_config(base)
    config.pop("torch_dtype", None)
    config["dtype"] = "bfloat16"
    (target / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    progress(len(files), len(files))


def read_config(base: Path) -> dict[str, Any]:
    """Read the base model's config.json. Raises `ExportFailure` if the model cannot be merged."""
    try:
        config = json.loads((base / "config.json").read_bytes())
    except (OSError, ValueError):
        raise _invalid_model("its folder has no readable config.json") from None
    if not isinstance(config, dict):
        raise _invalid_model("its config.json is not an object")
    if "auto_map" in config:
        raise _invalid_model("it needs its own code, which is never run")
    if "quantization_config" in config:
        raise _invalid_model("its weights are stored quantized, so that nothing can be added")
    return config


def weight_files(base: Path) -> list[Path]:
    """The safetensors files that hold the model's weights, sorted by name."""
    try:
        index = json.loads((base / INDEX).read_bytes())
        names = sorted(set(index["weight_map"].values()))
    except FileNotFoundError:
        names = ["model.safetensors"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _invalid_model(f"its {INDEX} is malformed") from None
    if any(Path(name).name != name or not (base / name).is_file() for name in names):
        raise _invalid_model("a file of its weights is missing")
    return [base / name for name in names]


def _tensors(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    try:
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # cannot be iterated
                yield name, tensors.get_tensor(name)
    except SafetensorError:
        raise _invalid_model(f"its file {file.name} cannot be read") from None


class Deltas:
    """What an adapter adds to the weights of its base model."""

    def __init__(self, adapter: Path) -> None:
        self._config = _adapter_config(adapter)
        self._layers: dict[str, dict[str, torch.Tensor]] = {}
        self._used: set[str] = set()
        try:
            tensors = load_file(adapter / "adapter_model.safetensors")
        except (OSError, SafetensorError):
            raise ExportFailure(
                "invalid_adapter", "The adapter's adapter_model.safetensors cannot be read."
            ) from None
        for name, tensor in tensors.items():
            layer, part = _layer_and_part(name)
            self._layers.setdefault(layer, {})[part] = tensor.float()

    def merged(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """Return a weight of the base model with the adapter's change, in bfloat16.

        Tensors of integers are returned as they are. The sum is computed in 32 bits.
        """
        layer = name.removesuffix(".weight")
        if layer not in self._layers:
            return weight.to(torch.bfloat16) if weight.is_floating_point() else weight
        self._used.add(layer)
        parts = self._layers[layer]
        if "a" not in parts or "b" not in parts:
            raise ExportFailure("invalid_adapter", f"The adapter of {layer} is incomplete.")
        a, b = parts["a"], parts["b"]
        if weight.shape != (b.shape[0], a.shape[1]) or a.shape[0] != b.shape[1]:
            raise ExportFailure(
                "invalid_adapter",
                f"The adapter of {layer} does not fit the base model: its shape is "
                f"{(b.shape[0], a.shape[1])}, that of the base model {tuple(weight.shape)}.",
            )
        total = weight.float() + (b @ a) * self._scale(a.shape[0])
        if "magnitude" in parts:  # DoRA
            total *= (parts["magnitude"] / total.norm(dim=1)).unsqueeze(1)
        return total.to(torch.bfloat16)

    def _scale(self, rank: int) -> float:
        alpha = float(self._config["lora_alpha"])
        return alpha / (math.sqrt(rank) if self._config.get("use_rslora") else rank)

    def check_all_used(self) -> None:
        """Raise `ExportFailure` if the base model has no weight for a layer of the adapter."""
        if left := sorted(self._layers.keys() - self._used):
            raise ExportFailure(
                "unsupported_adapter",
                f"The adapter changes {len(left)} layers whose weights the base model does not "
                f"store under the same names, such as {left[0]}. Export the adapter itself "
                f"(format adapter).",
            )


def _adapter_config(adapter: Path) -> dict[str, Any]:
    try:
        config = json.loads((adapter / "adapter_config.json").read_bytes())
    except (OSError, ValueError):
        raise ExportFailure(
            "invalid_adapter", "The adapter has no readable adapter_config.json."
        ) from None
    if not isinstance(config, dict) or not isinstance(config.get("lora_alpha"), int | float):
        raise ExportFailure("invalid_adapter", "The adapter's adapter_config.json is malformed.")
    unsupported = [
        key
        for key in ("rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_bias")
        if config.get(key)
    ]
    if config.get("peft_type") != "LORA" or unsupported:
        reason = unsupported[0] if unsupported else f"peft_type {config.get('peft_type')}"
        raise ExportFailure(
            "unsupported_adapter",
            f"The adapter uses {reason}, which cannot be merged. Export the adapter itself (format "
            f"adapter).",
        )
    return config


def _layer_and_part(name: str) -> tuple[str, str]:
    for suffix, part in _PARTS.items():
        if name.startswith(_PREFIX) and name.endswith(suffix):
            return name[len(_PREFIX) : -len(suffix)], part
    raise ExportFailure(
        "unsupported_adapter",
        f"The adapter contains the tensor {name[:200]}, which cannot be merged. Export the adapter "
        f"itself (format adapter).",
    )


def _invalid_model(why: str) -> ExportFailure:
    return ExportFailure("invalid_model", f"The base model cannot be merged: {why}.")
