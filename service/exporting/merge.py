"""Merges an adapter into its base model, file by file: W + s·B·A for each changed layer.

Only one file of weights is in memory at a time, and the model's code is not needed. Sums are
computed in 32 bits and rounded once. An adapter that cannot be merged this way is rejected.

Engines merge too, and may lack bitsandbytes, which only rounding to NF4 imports.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from service.training.contract.adapter_config import (
    WEIGHTS,
    AdapterConfig,
    InvalidAdapterConfig,
    is_expert,
    is_outside_text_decoder,
    path_in_layers,
)

HEAD: Final = "lm_head"
_EMBEDDINGS: Final = frozenset({"embed_tokens", "embed_in", "wte"})
INDEX: Final = "model.safetensors.index.json"
_PREFIX: Final = "base_model.model."
_PARTS: Final = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
}
# What vLLM does not apply when it serves an adapter.
_NOT_MERGED: Final = ("fan_in_fan_out", "layer_replication", "lora_bias", "use_dora")


Report = Callable[[int, int], None]
"""Is called with the number of finished parts, and of all parts."""
Reason = Literal["invalid_model", "invalid_adapter", "unsupported_adapter"]


class MergeRefused(Exception):
    """The adapter cannot be merged into the base model; the message says why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def merge(
    base: Path,
    adapter: Path,
    target: Path,
    report: Report = lambda _, __: None,
    *,
    dtype: torch.dtype | None = None,
    nf4: bool = False,
) -> None:
    """Write the merged weights, their index and config.json to `target`.

    The files are named as those of the base model. A head that shares the weight of the embeddings
    gets its own if the adapter changes it. The weights are rounded once, to `dtype` or, by default,
    to the base model's own type. With `nf4`, the base model's weights are first rounded as QLoRA
    rounds them for training. The parts that `report` counts are files. Raises MergeRefused, and
    OSError, for example if the disk is full.
    """
    config = read_config(base)
    files = weight_files(base)
    layers = BaseLayers(_layers_of(files))
    deltas = _Deltas(adapter, layers)
    embeddings = layers.embeddings() if deltas.has_tied_head else None
    nf4_rounding = Nf4Rounding(base, layers) if nf4 else None
    _check_free_space(target, _needed_bytes(files, dtype))
    target.mkdir(parents=True, exist_ok=True)
    weight_map: dict[str, str] = {}
    total_bytes = 0
    for number, file in enumerate(files):
        report(number, len(files))
        metadata, tensors = _read(file)
        merged = {}
        for name, weight in tensors.items():
            base_weight = nf4_rounding(name, weight) if nf4_rounding else weight
            merged[name] = deltas.merge(name, base_weight, dtype)
        if embeddings is not None and f"{embeddings}.weight" in tensors:
            head = f"{HEAD}.weight"
            merged[head] = deltas.merge(head, tensors[f"{embeddings}.weight"], dtype)
        _save(merged, target / file.name, metadata)
        weight_map |= dict.fromkeys(merged, file.name)
        total_bytes += sum(tensor.numel() * tensor.element_size() for tensor in merged.values())
    if (base / INDEX).is_file():
        index = {"metadata": {"total_size": total_bytes}, "weight_map": weight_map}
        (target / INDEX).write_text(json.dumps(index, indent=2), "utf-8")
    if embeddings is not None:
        _untie(config)
    if dtype is not None:
        config.pop("torch_dtype", None)
        config["dtype"] = str(dtype).removeprefix("torch.")
    (target / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    report(len(files), len(files))


def read_config(base: Path) -> dict[str, Any]:
    """Read the base model's config.json. Raises MergeRefused if the model cannot be merged."""
    try:
        config = json.loads((base / "config.json").read_bytes())
    except (OSError, ValueError):
        raise _invalid_model("its folder has no readable config.json") from None
    if not isinstance(config, dict):
        raise _invalid_model("its config.json is not an object")
    if "auto_map" in config:
        raise _invalid_model("it needs its own code, which is never run")
    if "quantization_config" in config:
        raise _invalid_model("its weights are stored quantized, so no adapter can be merged")
    return config


def weight_files(base: Path) -> list[Path]:
    """Return the safetensors files that hold the model's weights, sorted by name."""
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


def _layers_of(files: list[Path]) -> set[str]:
    """Return the names of all weights, without the suffix `.weight`."""
    names: set[str] = set()
    for file in files:
        try:
            with safe_open(file, "pt") as tensors:
                names |= set(tensors.keys())
        except SafetensorError:
            raise _unreadable(file) from None
    return {name.removesuffix(".weight") for name in names if name.endswith(".weight")}


def _needed_bytes(files: list[Path], dtype: torch.dtype | None) -> int:
    """Return the size of the merged weights."""
    if dtype is None:
        return sum(file.stat().st_size for file in files)
    elements = 0
    for file in files:
        with safe_open(file, "pt") as tensors:
            shapes = (tensors.get_slice(name).get_shape() for name in tensors.keys())  # noqa: SIM118
            elements += sum(map(math.prod, shapes))
    return elements * dtype.itemsize


def _read(file: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Read a file's metadata and tensors."""
    try:
        with safe_open(file, "pt") as tensors:
            metadata = tensors.metadata() or {"format": "pt"}
            return metadata, {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    except SafetensorError:
        raise _unreadable(file) from None


def _save(tensors: dict[str, torch.Tensor], file: Path, metadata: dict[str, str]) -> None:
    try:
        save_file(tensors, file, metadata=metadata)
    except SafetensorError as error:  # the system's error is only in its text
        number = errno.ENOSPC if "No space left" in str(error) else errno.EIO
        raise OSError(number, f"{file.name} cannot be written: {error}") from error


def _cast(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def _untie(config: dict[str, Any]) -> None:
    """Let the head have its own weight. Models with several parts repeat the setting."""
    config["tie_word_embeddings"] = False
    if isinstance(config.get("text_config"), dict):
        config["text_config"]["tie_word_embeddings"] = False


def _check_free_space(target: Path, needed: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"the merged model needs {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free "
            f"at {target.parent}",
        )


class BaseLayers:
    """The names of a base model's layers. Models nest their decoder of text differently."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._by_path = {
            path_in_layers(name): name for name in self._names if not is_outside_text_decoder(name)
        }

    def find(self, name: str) -> str | None:
        """Return the name of a layer in the base model's files; None if it has no such layer."""
        return name if name in self._names else self._by_path.get(path_in_layers(name))

    def embeddings(self) -> str | None:
        """Return the name of the layer that embeds tokens; None if that is not certain."""
        found = [name for name in self._names if name.rpartition(".")[2] in _EMBEDDINGS]
        return found[0] if len(found) == 1 else None


class Nf4Rounding:
    """Rounds the weights that a QLoRA training quantizes to the values that NF4 can represent."""

    def __init__(self, base: Path, layers: BaseLayers) -> None:
        from service.training.model.nf4_kernel import use_fast_kernel

        use_fast_kernel()
        found = (layers.find(name) for name in _quantized_modules(base))
        self._quantized = {f"{name}.weight" for name in found if name is not None}

    def __call__(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        is_rounded = name in self._quantized or _is_expert_weight(name, weight)
        return round_to_nf4(weight) if is_rounded else weight


def _is_expert_weight(name: str, weight: torch.Tensor) -> bool:
    """Whether a tensor has weights of experts, of one or of all of a layer."""
    is_inside = is_expert(name) and not is_outside_text_decoder(name)
    return is_inside and weight.dim() > 1 and not name.endswith("bias")


def round_to_nf4(weight: torch.Tensor) -> torch.Tensor:
    """Quantize a weight with the trainer's settings, and dequantize it."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(
        weight.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    restored: torch.Tensor = dequantize_4bit(packed, state)
    return restored.to(weight.dtype)


def _quantized_modules(base: Path) -> list[str]:
    """Return the names of the modules that transformers quantizes when it loads the model."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    kept = get_keys_to_not_convert(model)
    return [
        name
        for name, module in model.named_modules()
        if type(module) is torch.nn.Linear and should_convert_module(name, kept)
    ]


class _Deltas:
    """The changes that an adapter makes to weights, by the name of the layer in the base model."""

    def __init__(self, adapter: Path, base_layers: BaseLayers) -> None:
        config = _adapter_config(adapter)
        self._layers: dict[str, dict[str, torch.Tensor]] = {}
        self._scales: dict[str, float] = {}
        self.has_tied_head = False
        """Whether the adapter changes the head of a model whose head is its embeddings."""
        try:
            tensors = load_file(adapter / WEIGHTS)
        except (OSError, SafetensorError):
            raise MergeRefused(
                "invalid_adapter", f"The adapter's {WEIGHTS} cannot be read."
            ) from None
        unknown = set()
        for name, tensor in tensors.items():
            layer, part = _layer_and_part(name)
            found = base_layers.find(layer)
            if found is None and layer == HEAD and base_layers.embeddings():
                found = HEAD
                self.has_tied_head = True
            if found is None:
                unknown.add(layer)
            else:
                self._layers.setdefault(found, {})[part] = tensor.float()
                self._scales[found] = _scale(config, layer)
        if unknown:
            raise MergeRefused(
                "unsupported_adapter",
                f"The adapter changes {len(unknown)} layers that have no weight of their own in "
                f"the base model's files, such as {min(unknown)}.",
            )

    def merge(self, name: str, weight: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
        """Return a weight of the base model with the adapter's change, in `dtype` or its own."""
        layer = name.removesuffix(".weight")
        if layer not in self._layers or layer == name:
            return _cast(weight, dtype)
        parts = self._layers[layer]
        if "a" not in parts or "b" not in parts:
            raise MergeRefused("invalid_adapter", f"The adapter of {layer} is incomplete.")
        a, b = parts["a"], parts["b"]
        if weight.shape != (b.shape[0], a.shape[1]) or a.shape[0] != b.shape[1]:
            raise MergeRefused(
                "invalid_adapter",
                f"The adapter of {layer} does not fit the base model: its shape is "
                f"{(b.shape[0], a.shape[1])}, that of the base model {tuple(weight.shape)}.",
            )
        total = weight.float().addmm(b, a, alpha=self._scales[layer])
        return total.to(dtype or weight.dtype)


def _adapter_config(adapter: Path) -> AdapterConfig:
    try:
        config = AdapterConfig.read(adapter)
    except InvalidAdapterConfig as e:
        raise MergeRefused("invalid_adapter", f"The adapter cannot be merged: {e}. {e.fix}") from e
    for key in _NOT_MERGED:
        if config.fields.get(key):
            raise MergeRefused(
                "unsupported_adapter", f"The adapter uses {key}, which cannot be merged."
            )
    return config


def _scale(config: AdapterConfig, layer: str) -> float:
    try:
        return config.scale_of(layer)
    except InvalidAdapterConfig as e:  # a pattern that takes too long
        raise MergeRefused("invalid_adapter", f"The adapter cannot be merged: {e}. {e.fix}") from e


def _layer_and_part(name: str) -> tuple[str, str]:
    for suffix, part in _PARTS.items():
        if name.startswith(_PREFIX) and name.endswith(suffix):
            return name[len(_PREFIX) : -len(suffix)], part
    raise MergeRefused(
        "unsupported_adapter",
        f"The adapter contains the tensor {name[:200]}, which cannot be merged.",
    )


def _unreadable(file: Path) -> MergeRefused:
    return _invalid_model(f"its file {file.name} cannot be read")


def _invalid_model(why: str) -> MergeRefused:
    return MergeRefused("invalid_model", f"The base model cannot be merged: {why}.")
