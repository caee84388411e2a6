"""Names of a model's modules, in its files and in adapters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# The parts of a model besides its decoder of text: they read images and sound, or predict further
# tokens. Their layers are numbered like those of the decoder.
_BESIDE_TEXT: Final = re.compile(
    r"(^|\.)(vision|visual|audio|speech|image|multi_modal|mm_|embed_(vision|audio)|connector|mtp)"
)
# Modules that choose the experts of a token, or the tokens that it attends to.
_CHOOSING: Final = frozenset({"gate", "router", "shared_expert_gate", "indexer"})
# Of multi-head latent attention. vLLM multiplies its weights into those of other layers when it
# loads the model, so that an adapter on it would not apply to the tokens that it generates.
_ABSORBED: Final = "kv_b_proj"
_EXPERTS: Final = "experts"
# In these models, vLLM takes adapters on `gate_proj` and `up_proj` only, which transformers fuses.
_FUSED: Final = "gate_up_proj"
_TAKEN_APART: Final = frozenset({"glm", "glm4"})


def path_in_layers(module: str) -> str:
    """The module path from `layers.<N>` on, as models nest their text part differently."""
    _, found, rest = module.rpartition("layers.")
    return found + rest if found else module


def is_beside_text(module: str) -> bool:
    """Whether a module belongs to a part of the model that is not its decoder of text."""
    return _BESIDE_TEXT.search(module) is not None


def is_expert(module: str) -> bool:
    """Whether a module is one or all of the experts of a layer, or inside one."""
    return _EXPERTS in module.split(".")


def expert_blocks(modules: Iterable[str]) -> frozenset[str]:
    """The names of the blocks that contain the experts of a mixture, such as `mlp`.

    Empty for other models. `modules` are the names of all modules, or of all tensors.
    """
    experts = (name.split(".") for name in modules if is_expert(name) and not is_beside_text(name))
    blocks = {path[path.index(_EXPERTS) - 1] for path in experts if path[0] != _EXPERTS}
    return frozenset(block for block in blocks if not block.isdigit())  # else it is the layer


def fixed_parts(modules: Iterable[str], model_type: str) -> frozenset[str]:
    """The names of parts of layers that are not adapted in this model, by their config.json.

    `modules` are the names of all modules, or of all tensors.
    """
    return expert_blocks(modules) | ({_FUSED} if model_type in _TAKEN_APART else frozenset())


def why_not_adapted(module: str, fixed: frozenset[str]) -> str | None:
    """The reason why no adapter may change a linear layer; None if one may.

    `fixed` are the model's `fixed_parts`. Trainings, the engine and the check of adapters follow
    this rule, so what is trained is served. A mixture of experts is adapted outside of these
    blocks. The weights of all experts of a layer are one tensor: bitsandbytes does not quantize it,
    PEFT adapts it in a form of its own, and in vLLM each adapter would need memory for all experts.
    """
    parts = module.split(".")
    if is_beside_text(module):
        return "is not in the model's decoder of text"
    if is_expert(module):
        return "is an expert of a mixture"
    if not _CHOOSING.isdisjoint(parts):
        return "chooses among experts or tokens"
    if parts[-1] == _ABSORBED:
        return "is multiplied into other layers when the engine loads the model"
    if parts[-1] == _FUSED and _FUSED in fixed:
        return "consists of two layers in the engine"
    if not fixed.isdisjoint(parts):
        return "is part of a block with experts, or takes the place of one"
    return None


def adaptable(linears: Iterable[str], fixed: frozenset[str]) -> list[str]:
    """The linear layers that an adapter may change, in their order."""
    return [name for name in linears if why_not_adapted(name, fixed) is None]
