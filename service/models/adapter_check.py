"""Checks that an adapter's tensors match its base model. Does not import torch.

vLLM accepts an adapter whose module names match nothing in the model, and the base model then
silently answers under the adapter's name. An adapter with wrong shapes fails deep inside vLLM.
Both errors are visible in the headers of the safetensors files, which take milliseconds to read.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.models.model_folder import ModelRefused, read_header
from service.training.contract.adapter_config import (
    AS_TRAINED,
    CONFIG,
    WEIGHTS,
    AdapterConfig,
    InvalidAdapterConfig,
    fixed_parts,
    is_expert,
    is_outside_text_decoder,
    path_in_layers,
    select_adaptable,
    why_not_adaptable,
)
from service.training.contract.hyperparameters import EMBEDDING_NAMES
from service.training.model.base_folder import weight_files

_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
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

Shapes = Mapping[str, tuple[int, ...]]


class AdapterMismatch(Exception):
    """The adapter does not fit its base model; the message says where, and `fix` what to do."""

    def __init__(
        self, message: str, fix: str = "Import a LoRA adapter that was trained on this base model."
    ) -> None:
        super().__init__(message)
        self.fix = fix


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
    def has_experts(self) -> bool:
        """Whether the model is a mixture of experts."""
        return any(is_expert(name) and not is_outside_text_decoder(name) for name in self.shapes)

    @functools.cached_property
    def fixed_parts(self) -> frozenset[str]:
        """The parts of layers that take no adapters in this model."""
        return fixed_parts(self.shapes, self.model_type)

    def served_layers(self) -> list[str] | None:
        """The last names of the layers that take adapters; None for all, unless experts exist."""
        if not self.has_experts:
            return None
        modules = {name.rpartition(".")[0] for name, shape in self.shapes.items() if len(shape) > 1}
        names = {name.rpartition(".")[2] for name in select_adaptable(modules, self.fixed_parts)}
        return sorted(names - EMBEDDING_NAMES)

    @functools.cached_property
    def _by_tail(self) -> dict[str, str]:
        modules = {name.rpartition(".")[0] for name in self.shapes}
        return {path_in_layers(name): name for name in modules if not is_outside_text_decoder(name)}


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes of a safetensors file, read from its header only.

    Raises AdapterMismatch if the file is not a valid safetensors file.
    """
    try:
        return {name: tuple(entry["shape"]) for name, entry in read_header(file).items()}
    except (OSError, ModelRefused, KeyError, TypeError) as e:
        raise AdapterMismatch(f"{file.name} is not a safetensors file") from e


def check_adapter(folder: Path, base: BaseLayout, *, max_rank: int) -> None:
    """Raise AdapterMismatch unless the engine can serve the adapter in `folder`."""
    config = _check_config(folder, max_rank)
    for module, sides in _pairs(tensor_shapes(folder / WEIGHTS)).items():
        if sides.keys() != {"A", "B"}:
            raise AdapterMismatch(f"{module} has only one of its two LoRA tensors")
        if why := why_not_adaptable(module, base.fixed_parts):
            raise AdapterMismatch(f"{module} {why}, and the engine serves no adapter there")
        weight = base.weight_of(module)
        if weight is not None:
            _check_shapes(module, sides, base, base.shapes.get(weight))
        elif module != "lm_head":  # which has no tensor if it is tied to the embeddings
            raise AdapterMismatch(f"the base model has no module {module}")
        _check_agreement(config, module, sides["A"])


def modules_of(folder: Path) -> list[str]:
    """The modules that an adapter modifies. Raises AdapterMismatch."""
    return [*_pairs(tensor_shapes(folder / WEIGHTS))]


def _check_config(folder: Path, max_rank: int) -> AdapterConfig:
    try:
        config = AdapterConfig.read(folder)
    except InvalidAdapterConfig as e:
        raise AdapterMismatch(str(e), e.fix) from e
    if config.highest_rank > max_rank:
        raise AdapterMismatch(
            f"its rank is {config.highest_rank}, the engine serves up to {max_rank}",
            "Train it with a lower rank, or ask the operator to raise FINETUNED_MAX_LORA_RANK.",
        )
    for key, name in _UNSERVED.items():
        if config.fields.get(key):
            raise AdapterMismatch(f"it uses {name}, which the engine does not serve")
    if (config.fields.get("bias") or "none") != "none":
        raise AdapterMismatch("it has trained biases, which the engine does not serve")
    _check_init(config.fields.get("init_lora_weights"))
    return config


def _check_init(init: object) -> None:
    if isinstance(init, str) and init.lower() not in _PLAIN_INITS:
        raise AdapterMismatch(
            f"it was initialized with {init[:40]}, which changes the base model's weights",
            "Convert it with PEFT's path_initial_model_for_weight_conversion.",
        )


def _check_agreement(config: AdapterConfig, module: str, a: tuple[int, ...]) -> None:
    """Check that the configuration describes a module's tensors: otherwise their scale is wrong."""
    try:
        rank, is_adapted = config.rank_of(module), config.adapts(module)
    except InvalidAdapterConfig as e:
        raise AdapterMismatch(str(e), e.fix) from e
    if a and a[0] != rank:
        raise AdapterMismatch(
            f"{CONFIG} gives {module} the rank {rank}, but its tensors have the rank {a[0]}, so "
            "they would apply with the wrong strength",
            AS_TRAINED,
        )
    if not is_adapted:
        raise AdapterMismatch(
            f"there are tensors for {module}, which target_modules in {CONFIG} leaves out, so that "
            "PEFT ignores them and the engine would not",
            AS_TRAINED,
        )


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
