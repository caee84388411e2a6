"""Check that an adapter's tensors match its base model. Does not import torch.

vLLM accepts an adapter whose module names match nothing in the model, and the base model then
silently answers under the adapter's name. An adapter with wrong shapes fails deep inside vLLM.
Both errors are visible in the headers of the safetensors files, which take milliseconds to read.
"""

from __future__ import annotations

import functools
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_MAX_HEADER_BYTES = 64 * 1024 * 1024
# Features that vLLM does not support. PEFT writes these keys with an empty value when unused.
_UNSERVED = {
    "use_dora": "DoRA",
    "modules_to_save": "modules_to_save",
    "lora_bias": "lora_bias",
}

Shapes = Mapping[str, tuple[int, ...]]


class AdapterMismatch(Exception):
    """The adapter does not fit its base model; the message says where."""


@dataclass(frozen=True)
class BaseLayout:
    """Names and shapes of a base model's tensors, as in its files."""

    shapes: Shapes
    quantized: bool

    @classmethod
    def read(cls, folder: Path) -> BaseLayout:
        """Read a Hugging Face folder's safetensors headers. Raises AdapterMismatch."""
        shapes: dict[str, tuple[int, ...]] = {}
        for file in sorted(folder.glob("*.safetensors")):
            shapes.update(tensor_shapes(file))
        config = json.loads((folder / "config.json").read_text("utf-8"))
        return cls(shapes, quantized="quantization_config" in config)

    def weight_of(self, module: str) -> str | None:
        """The weight tensor that an adapter's module applies to; None if there is none."""
        if f"{module}.weight" in self.shapes:
            return f"{module}.weight"
        found = self._by_tail.get(_tail(module))
        return None if found is None else f"{found}.weight"

    @functools.cached_property
    def _by_tail(self) -> dict[str, str]:
        modules = {name.rpartition(".")[0] for name in self.shapes}
        return {_tail(module): module for module in modules}


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes of a safetensors file, read from its header only.

    Raises AdapterMismatch if the file is not a valid safetensors file.
    """
    try:
        with file.open("rb") as source:
            (length,) = struct.unpack("<Q", source.read(8))
            if length > _MAX_HEADER_BYTES:
                raise AdapterMismatch(f"{file.name} is not a safetensors file")
            header: dict[str, Any] = json.loads(source.read(length))
        return {k: tuple(v["shape"]) for k, v in header.items() if k != "__metadata__"}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        struct.error,
    ) as e:
        raise AdapterMismatch(f"{file.name} is not a safetensors file") from e


def check_adapter(folder: Path, base: BaseLayout, *, max_rank: int) -> None:
    """Raise AdapterMismatch unless the engine can serve the adapter in `folder`."""
    _check_config(folder / CONFIG, max_rank)
    for module, sides in _pairs(tensor_shapes(folder / WEIGHTS)).items():
        if sides.keys() != {"A", "B"}:
            raise AdapterMismatch(f"{module} has only one of its two LoRA tensors")
        if ".experts" in module:  # every library fuses and renames these differently
            continue
        weight = base.weight_of(module)
        if weight is None:
            if module == "lm_head":  # tied to the embeddings, so it has no tensor
                continue
            raise AdapterMismatch(f"the base model has no module {module}")
        _check_shapes(module, sides, base, base.shapes.get(weight))


def modules_of(folder: Path) -> list[str]:
    """The modules that an adapter modifies. Raises AdapterMismatch."""
    return [*_pairs(tensor_shapes(folder / WEIGHTS))]


def tensor_names(module: str) -> tuple[str, str]:
    """The names of a module's two LoRA tensors, A and B, in an adapter file."""
    a, b = (f"base_model.model.{module}.lora_{side}.weight" for side in "AB")
    return a, b


def _check_config(file: Path, max_rank: int) -> None:
    try:
        config = json.loads(file.read_text("utf-8"))
        rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
        kind = config["peft_type"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise AdapterMismatch(f"{CONFIG} is not a valid PEFT configuration") from e
    if kind != "LORA":
        raise AdapterMismatch(f"it is a {kind} adapter, not LORA")
    if rank > max_rank:
        raise AdapterMismatch(f"its rank is {rank}, the engine serves up to {max_rank}")
    for key, name in _UNSERVED.items():
        if config.get(key):
            raise AdapterMismatch(f"it uses {name}, which the engine does not serve")


def _pairs(shapes: Shapes) -> dict[str, dict[str, tuple[int, ...]]]:
    pairs: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        match = _TENSOR.fullmatch(name)
        if match is None:
            raise AdapterMismatch(f"{name[:200]} is not a LoRA tensor")
        pairs.setdefault(match["module"], {})[match["side"]] = shape
    if not pairs:
        raise AdapterMismatch("it contains no tensors")
    return pairs


def _check_shapes(
    module: str,
    sides: Mapping[str, tuple[int, ...]],
    base: BaseLayout,
    weight: tuple[int, ...] | None,
) -> None:
    a, b = sides["A"], sides["B"]
    if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
        raise AdapterMismatch(f"the two LoRA tensors of {module} do not belong together")
    # The packed weights of a quantized base model have different shapes.
    if weight is None or base.quantized or len(weight) != 2:
        return
    if (b[0], a[1]) != weight:
        raise AdapterMismatch(
            f"{module} fits a layer of {b[0]}x{a[1]}, but the base model's is "
            f"{weight[0]}x{weight[1]}"
        )


def _tail(module: str) -> str:
    """The module path from `layers.<N>` on, as models nest their text part differently."""
    _, found, rest = module.rpartition("layers.")
    return found + rest if found else module
