"""Checks of how a base model's weights are to be served, without reading them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from service.models.catalogue import BaseModelEntry
from service.models.weights import INDEX
from service.training.model.base_folder import (
    SECOND_FORM,
    has_second_form,
    read_config,
    stored_format,
)

# An adapter that was trained on one of two folders fits the other only if these are equal.
_DIMENSIONS: Final = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)


def serving_fault(entry: BaseModelEntry) -> str | None:
    """Why engines cannot serve the weights as the catalog entry says; None if they can.

    A folder that cannot be read is no fault here.
    """
    for folder in (entry.path, entry.served_path):
        if has_second_form(folder) and not (folder / INDEX).is_file():
            # Engines would load both.
            return (
                f"{folder} contains its weights twice, also in Mistral's own form: remove the "
                f"files {SECOND_FORM}*.safetensors"
            )
    stored = _config(entry.path)
    if entry.serving_quantization in ("fp8", "nf4") and (method := stored_format(stored)):
        return (
            f"serving_quantization is '{entry.serving_quantization}', but its weights are stored "
            f"in a quantized form ({method[:40]}) already: remove it from the catalog"
        )
    if entry.serving_path is None or not (served := _config(entry.serving_path)):
        return None
    if stored_format(served) is None:
        return (
            f"the weights in serving_path ({entry.serving_path}) are not quantized: remove it from "
            "the catalog, or set serving_quantization in its place"
        )
    if different := [name for name in _DIMENSIONS if _of(stored, name) != _of(served, name)]:
        return (
            f"serving_path ({entry.serving_path}) is a different model from path: its config.json "
            f"differs in {', '.join(different)}"
        )
    return None


def _config(folder: Path) -> dict[str, Any]:
    return read_config(folder) or {}


def _of(config: Mapping[str, Any], name: str) -> object:
    text = config.get("text_config")
    return (text if isinstance(text, Mapping) and name in text else config).get(name)
