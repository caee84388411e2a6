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

from service.training.contract.lora import EMBEDDING_NAMES
from service.training.contract.tensor_names import (
    adaptable,
    expert_blocks,
    fixed_parts,
    is_beside_text,
    path_in_layers,
    why_not_adapted,
)
from service.training.model.stored_weights import weight_files

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_MAX_HEADER_BYTES = 64 * 1024 * 1024
# Features that vLLM does not support. PEFT writes these keys with an empty value when unused.
_UNSERVED = {
    "use_dora": "DoRA",
    "modules_to_save": "modules_to_save",
    "lora_bias": "lora_bias",
    "alora_invocation_tokens": "activated LoRA",
    "layer_replication": "layer_replication",
    "use_bdlora": "block-diagonal LoRA",
    "use_qalora": "QALoRA",
    "trainable_token_indices": "trainable_token_indices",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
}
# Other initializations, such as PiSSA and LoftQ, change the base model's weights.
_PLAIN_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica", "lora_ga"})
# vLLM matches these keys as regular expressions, which a hostile one could make run for hours.
_PATTERNS = ("rank_pattern", "alpha_pattern")
_PLAIN_PATTERN = re.compile(r"\^?(?:\w|\\?\.)+\$?", re.ASCII)

Shapes = Mapping[str, tuple[int, ...]]


class AdapterMismatch(Exception):
    """The adapter does not fit its base model; the message says where."""


@dataclass(frozen=True)
class BaseLayout:
    """Names and shapes of a base model's tensors, as in its files."""

    shapes: Shapes
    quantized: bool
    model_type: str = ""

    @classmethod
    def read(cls, folder: Path) -> BaseLayout:
        """Read a Hugging Face folder's safetensors headers. Raises AdapterMismatch."""
        shapes: dict[str, tuple[int, ...]] = {}
        for file in weight_files(folder):
            shapes.update(tensor_shapes(file))
        config = json.loads((folder / "config.json").read_text("utf-8"))
        return cls(
            shapes,
            quantized="quantization_config" in config,
            model_type=str(config.get("model_type", "")),
        )

    def weight_of(self, module: str) -> str | None:
        """The weight tensor that an adapter's module applies to; None if there is none."""
        if f"{module}.weight" in self.shapes:
            return f"{module}.weight"
        found = self._by_tail.get(path_in_layers(module))
        return None if found is None else f"{found}.weight"

    @functools.cached_property
    def expert_blocks(self) -> frozenset[str]:
        """The blocks that contain the experts of a mixture; empty for other models."""
        return expert_blocks(self.shapes)

    @functools.cached_property
    def fixed_parts(self) -> frozenset[str]:
        """The parts of layers that take no adapters in this model."""
        return fixed_parts(self.shapes, self.model_type)

    def served_layers(self) -> list[str] | None:
        """The last names of the layers that take adapters; None for all, unless experts exist."""
        if not self.expert_blocks:
            return None
        modules = {name.rpartition(".")[0] for name, shape in self.shapes.items() if len(shape) > 1}
        names = {name.rpartition(".")[2] for name in adaptable(modules, self.fixed_parts)}
        return sorted(names - EMBEDDING_NAMES)

    @functools.cached_property
    def _by_tail(self) -> dict[str, str]:
        modules = {name.rpartition(".")[0] for name in self.shapes}
        return {path_in_layers(name): name for name in modules if not is_beside_text(name)}


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
        if why := why_not_adapted(module, base.fixed_parts):
            raise AdapterMismatch(f"{module} {why}, and the engine serves no adapter there")
        _check_rank(module, sides["A"], max_rank)
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
        ranks = [config["r"], *(config.get("rank_pattern") or {}).values()]
        rank, lowest = max(ranks), min(ranks)
        kind, bias = config["peft_type"], config.get("bias") or "none"
        patterns = [key for name in _PATTERNS for key in config.get(name) or {}]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise AdapterMismatch(f"{CONFIG} is not a valid PEFT configuration") from e
    if kind != "LORA":
        raise AdapterMismatch(f"it is a {str(kind)[:40]} adapter, not LORA")
    if lowest < 1:
        raise AdapterMismatch(f"its rank is {lowest}, and ranks start at 1")
    if rank > max_rank:
        raise AdapterMismatch(f"its rank is {rank}, the engine serves up to {max_rank}")
    for key, name in _UNSERVED.items():
        if config.get(key):
            raise AdapterMismatch(f"it uses {name}, which the engine does not serve")
    if bias != "none":
        raise AdapterMismatch("it has trained biases, which the engine does not serve")
    _check_init(config.get("init_lora_weights"))
    if not all(map(_PLAIN_PATTERN.fullmatch, patterns)):
        raise AdapterMismatch(
            "rank_pattern or alpha_pattern has a key that is not the name of a module"
        )


def _check_init(init: object) -> None:
    if isinstance(init, str) and init.lower() not in _PLAIN_INITS:
        raise AdapterMismatch(
            f"it was initialized with {init[:40]}, which changes the base model's weights. Convert "
            "it with PEFT's path_initial_model_for_weight_conversion"
        )


def _check_rank(module: str, a: tuple[int, ...], max_rank: int) -> None:
    if a and a[0] > max_rank:
        raise AdapterMismatch(f"the rank of {module} is {a[0]}, the engine serves up to {max_rank}")


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
