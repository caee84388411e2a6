"""Reads PEFT's configuration of a LoRA adapter, and decides which layers an adapter may change.

PEFT and vLLM match the keys of `rank_pattern` and `alpha_pattern` as regular expressions, and PEFT
those of `target_modules` too. The file may come from anyone, so patterns are compiled only if
they stay small, and matched within a time limit. vLLM matches the same patterns with the same
library, but without a limit.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import regex

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
"""Name of the file with the adapter's tensors."""
_MATCHING_S: Final = 5.0  # for all patterns and modules; those of a large model take 0.3 s
# Characters of a pattern with its repetitions written out, as `regex` does in memory.
_MOST_CHARS: Final = 100_000
_BRACES: Final = re.compile(r"\\.|\{(?:(\d+)(?:,(\d*))?\})?", re.DOTALL)
_FIRST_INDEX: Final = r"(?:^|.*?\.){}\.(\d+)\."
_FLAGS: Final = ("use_rslora", "use_dora", "lora_bias", "use_qalora", "fan_in_fan_out")
_NAMES: Final = "a list of names of modules, or a pattern"
AS_TRAINED: Final = "Use the adapter_config.json that was saved with these tensors."

T = TypeVar("T")


class InvalidAdapterConfig(Exception):
    """The configuration is not one that PEFT writes; `fix` says what to do."""

    def __init__(self, message: str, fix: str = AS_TRAINED) -> None:
        super().__init__(message)
        self.fix = fix


class AdapterConfig:
    """The configuration of a LoRA adapter, whose values were checked."""

    def __init__(self, fields: Any) -> None:
        """Check the fields of the file. Raises InvalidAdapterConfig."""
        if not isinstance(fields, dict):
            raise InvalidAdapterConfig(f"{CONFIG} is not a JSON object")
        self.fields: Mapping[str, Any] = fields
        if (kind := fields.get("peft_type")) != "LORA":
            raise InvalidAdapterConfig(
                f"it is a {str(kind)[:40]} adapter, not LORA", "Import a LoRA adapter."
            )
        for name in _FLAGS:
            _check_flag(name, fields.get(name))
        self._rank = _rank("r", fields.get("r"))
        self._alpha = _alpha("lora_alpha", fields.get("lora_alpha"))
        self._matcher = _PatternMatcher()
        self._ranks = self._patterns("rank_pattern", _rank)
        self._alphas = self._patterns("alpha_pattern", _alpha)
        if "target_modules" not in fields:  # null in some of PEFT's own files
            raise InvalidAdapterConfig(_wrong("target_modules", None, _NAMES))
        self._is_target = self._names("target_modules")
        self._is_excluded = self._names("exclude_modules")

    @classmethod
    def read(cls, folder: Path) -> AdapterConfig:
        """Read the configuration in an adapter's folder. Raises InvalidAdapterConfig."""
        try:
            fields = json.loads((folder / CONFIG).read_bytes())
        except (OSError, ValueError, RecursionError):
            raise InvalidAdapterConfig(f"{CONFIG} is missing, or is not JSON") from None
        return cls(fields)

    @property
    def highest_rank(self) -> int:
        """The highest rank of any module."""
        return max([self._rank, *self._ranks.values()])

    def rank_of(self, module: str) -> int:
        """Return the rank of a module's tensors."""
        return self._first(self._ranks, module) or self._rank

    def scale_of(self, module: str) -> float:
        """Return the factor of a module's product B·A."""
        alpha, rank = self._first(self._alphas, module) or self._alpha, self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.fields.get("use_rslora") else rank)

    def adapts(self, module: str) -> bool:
        """Whether PEFT adapts a module of this name: it ignores the tensors of others."""
        if self._is_excluded is not None and self._is_excluded(module):
            return False
        if self._is_target is None:
            return True
        is_listed = isinstance(self.fields["target_modules"], list)
        layers = self.fields.get("layers_to_transform")
        if not self._is_target(module) or not is_listed or layers in (None, []):
            return self._is_target(module)
        found = self._layer_of(module)
        return found is not None and found in (layers if isinstance(layers, list) else [layers])

    def _layer_of(self, module: str) -> int | None:
        """Return the number of the layer that a module is in; None if there is none."""
        given = self.fields.get("layers_pattern") or r"[^.]+"
        for pattern in given if isinstance(given, list) else [given]:
            expression = self._matcher.compile("layers_pattern", _FIRST_INDEX, pattern)
            if found := self._matcher.match(expression, module):
                return int(found[1])
        return None

    def _patterns(self, name: str, read: Callable[[str, Any], T]) -> dict[Any, T]:
        """Return the values of `rank_pattern` or `alpha_pattern` by their compiled keys."""
        given = self.fields.get(name) or {}
        if not isinstance(given, dict):
            raise InvalidAdapterConfig(_wrong(name, given, "an object"))
        return {
            self._matcher.compile(name, r"(?:.*\.)?(?:{})$", key): read(f'{name}["{key}"]', value)
            for key, value in given.items()
        }

    def _first(self, patterns: Mapping[Any, T], module: str) -> T | None:
        found = (value for key, value in patterns.items() if self._matcher.match(key, module))
        return next(found, None)

    def _names(self, field: str) -> Callable[[str], bool] | None:
        """Return whether `field` names a module; None if it names all of them, or is absent."""
        given = self.fields.get(field)
        if given is None or (field == "target_modules" and given == "all-linear"):
            return None
        if isinstance(given, str):
            expression = self._matcher.compile(field, r"(?:{})\Z", given)
            return lambda module: bool(self._matcher.match(expression, module))
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise InvalidAdapterConfig(_wrong(field, given, _NAMES))
        ends = tuple(f".{name}" for name in given)
        return lambda module: module in given or module.endswith(ends)


class _PatternMatcher:
    """Compiles and matches patterns, within a time limit for all of them."""

    def __init__(self) -> None:
        self._left_s = _MATCHING_S

    def compile(self, field: str, form: str, pattern: Any) -> Any:
        """Compile a pattern inside `form`. Raises InvalidAdapterConfig."""
        if not isinstance(pattern, str):
            raise InvalidAdapterConfig(_wrong(field, pattern, "text"))
        try:
            re.compile(pattern)  # PEFT's library; `regex` knows syntax of its own
            if _size(pattern) <= _MOST_CHARS:
                return regex.compile(form.replace("{}", pattern))
        except (re.error, regex.error, RecursionError, OverflowError):
            raise InvalidAdapterConfig(
                f"{field} has the pattern {pattern[:80]}, which is not a regular expression",
                "Correct the pattern, or list the names of the modules.",
            ) from None
        raise _too_costly(field, pattern)

    def match(self, expression: Any, module: str) -> Any:
        """Match the beginning of a module's name. Raises InvalidAdapterConfig."""
        start_s = time.perf_counter()
        try:
            return expression.match(module, timeout=max(self._left_s, 0.001), concurrent=True)
        except TimeoutError:
            raise _too_costly("a field", expression.pattern) from None
        finally:
            self._left_s -= time.perf_counter() - start_s


def _size(pattern: str) -> float:
    """Return the most characters that a pattern has if its counted repetitions are written out."""
    size = float(len(pattern))
    for brace in _BRACES.finditer(pattern):
        if brace[0] == "{":  # no repetition: PEFT reads it as text, and `regex` does not
            return math.inf
        if brace[1] is not None:
            size *= max(int(brace[1]), int(brace[2] or 1), 1)
    return size


def _too_costly(field: str, pattern: str) -> InvalidAdapterConfig:
    return InvalidAdapterConfig(
        f"{field} of {CONFIG} has the pattern {pattern[:80]}, which costs too much to match",
        "List the names of the modules instead.",
    )


def _check_flag(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, bool):
        raise InvalidAdapterConfig(_wrong(name, value, "true or false"))


def _rank(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidAdapterConfig(_wrong(name, value, "a whole number from 1"))
    return value


def _alpha(name: str, value: Any) -> float:
    with contextlib.suppress(TypeError, OverflowError):  # not a number, or a huge one
        if not isinstance(value, bool | str) and 0 < (alpha := float(value)) < math.inf:
            return alpha
    raise InvalidAdapterConfig(_wrong(name, value, "a number above 0"))


def _wrong(field: str, value: Any, kind: str) -> str:
    shown = "missing or null" if value is None else json.dumps(value)[:40]
    return f"{field} in {CONFIG} is {shown}, and must be {kind}"


# The parts of a model besides its text decoder: they read images and sound, or predict further
# tokens. Their layers are numbered like those of the decoder.
_OUTSIDE_TEXT_DECODER: Final = re.compile(
    r"(^|\.)(vision|visual|audio|speech|image|multi_modal|mm_|embed_(vision|audio)|connector|mtp)"
)
# Modules that choose the experts of a token, or the tokens that it attends to.
_ROUTERS: Final = frozenset({"gate", "router", "shared_expert_gate", "indexer"})
# Of multi-head latent attention. vLLM multiplies its weights into those of other layers when it
# loads the model, so that an adapter on it would not apply to the tokens that it generates.
_ABSORBED: Final = "kv_b_proj"
_EXPERTS: Final = "experts"
# The same in the files of Granite's mixtures.
_GRANITE_EXPERTS: Final = re.compile(r"\bblock_sparse_moe\.(input|output)_linear\b")
# In these models, vLLM takes adapters on `gate_proj` and `up_proj` only, which transformers fuses.
_FUSED: Final = "gate_up_proj"
_SPLIT_BY_ENGINE: Final = frozenset({"glm", "glm4"})
# In these models, the kernels of Mamba layers read the weight of this layer themselves, without an
# adapter. PEFT refuses adapters on it in some of them.
_READ_BY_KERNELS: Final = "out_proj"
_WITH_MAMBA: Final = frozenset({"falcon_h1", "granitemoehybrid", "nemotron_h"})
# The name of every part of a layer in Nemotron-H, and what else the parts with experts contain.
_MIXER: Final = "mixer"
_BESIDE_EXPERTS: Final = frozenset({"shared_experts", "fc1_latent_proj", "fc2_latent_proj"})


def path_in_layers(module: str) -> str:
    """Return a module's path from `layers.<N>` on, since models nest their decoder differently."""
    _, found, rest = module.rpartition("layers.")
    return found + rest if found else module


def is_outside_text_decoder(module: str) -> bool:
    """Whether a module belongs to a part of the model other than its text decoder."""
    return _OUTSIDE_TEXT_DECODER.search(module) is not None


def is_expert(module: str) -> bool:
    """Whether a module is one or all of the experts of a layer, or inside one.

    `module` may also be the name of a tensor in the model's files.
    """
    return _EXPERTS in module.split(".") or _GRANITE_EXPERTS.search(module) is not None


def expert_blocks(modules: Iterable[str]) -> frozenset[str]:
    """Return the names of the blocks that contain the experts of a mixture, such as `mlp`.

    Empty for other models. `modules` are the names of all modules, or of all tensors.
    """
    experts = [name for name in modules if is_expert(name) and not is_outside_text_decoder(name)]
    paths = (_GRANITE_EXPERTS.sub("block_sparse_moe.experts", name).split(".") for name in experts)
    blocks = {path[path.index(_EXPERTS) - 1] for path in paths if path[0] != _EXPERTS}
    if _MIXER in blocks:
        blocks = blocks - {_MIXER} | _BESIDE_EXPERTS
    return frozenset(block for block in blocks if not block.isdigit())  # else it is the layer


def fixed_parts(modules: Iterable[str], model_type: str) -> frozenset[str]:
    """Return the names of the parts of layers that are not adapted in models of this type.

    `modules` are the names of all modules, or of all tensors.
    """
    fused = {_FUSED} if model_type in _SPLIT_BY_ENGINE else set()
    read = {_READ_BY_KERNELS} if model_type in _WITH_MAMBA else set()
    return expert_blocks(modules) | fused | read


def why_not_adaptable(module: str, fixed: frozenset[str]) -> str | None:
    """Return why no adapter may change a linear layer; None if one may.

    `fixed` are the model's `fixed_parts`. Trainings, the engine and the check of adapters follow
    this rule, so what is trained is served. A mixture of experts is adapted outside of these
    blocks. The weights of all experts of a layer are one tensor: bitsandbytes does not quantize it,
    PEFT adapts it in a form of its own, and in vLLM each adapter would need memory for all experts.
    """
    parts = module.split(".")
    if is_outside_text_decoder(module):
        return "is not in the model's text decoder"
    if is_expert(module):
        return "is an expert of a mixture"
    if not _ROUTERS.isdisjoint(parts):
        return "chooses among experts or tokens"
    if parts[-1] == _ABSORBED:
        return "is multiplied into other layers when the engine loads the model"
    if parts[-1] == _FUSED and _FUSED in fixed:
        return "consists of two layers in the engine"
    if parts[-1] == _READ_BY_KERNELS and _READ_BY_KERNELS in fixed:
        return "is read by the kernels of Mamba layers without its adapter"
    if not fixed.isdisjoint(parts):
        return "is part of a block with experts, or takes the place of one"
    return None


def select_adaptable(linears: Iterable[str], fixed: frozenset[str]) -> list[str]:
    """Return the linear layers that an adapter may change, in their order."""
    return [name for name in linears if why_not_adaptable(name, fixed) is None]
