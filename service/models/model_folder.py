"""Checks of a base model's folder without loading it: headers, completeness, serving, template."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from service.models.catalogue import BaseModelEntry
from service.models.inspect import ModelRefused
from service.training.model.base_folder import (
    MISTRAL_PREFIX,
    has_mistral_format,
    read_config,
    stored_format,
    weight_files,
)

_MAX_HEADER_BYTES = 100 * 1024 * 1024  # safetensors' own limit
_LENGTH_BYTES = 8
INDEX = "model.safetensors.index.json"
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
_TEMPLATE_FILES = ("chat_template.jinja", "tokenizer_config.json")


def header(file: Path) -> dict[str, dict[str, Any]]:
    """The tensor entries of a file's header, by name. Raises ModelRefused."""
    try:
        with file.open("rb") as source:
            (length,) = struct.unpack("<Q", source.read(_LENGTH_BYTES))
            if length > _MAX_HEADER_BYTES:
                raise ModelRefused(f"{file.name} is not a safetensors file")
            found = msgspec.json.decode(source.read(length))
    except (struct.error, msgspec.DecodeError) as e:
        raise ModelRefused(f"{file.name} is not a safetensors file") from e
    if not isinstance(found, dict):
        raise ModelRefused(f"{file.name} is not a safetensors file")
    found.pop("__metadata__", None)
    return found


def folder_fault(folder: Path) -> str | None:
    """The reason an engine cannot load the folder, checked without loading it; None if it can.

    Less strict than `inspect_folder`, which guards additions to the catalog, because the operator
    may have written the catalog by hand.
    """
    try:
        return _fault(folder)
    except (ModelRefused, OSError) as e:
        return str(e)


def _fault(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if not (folder / "config.json").is_file():
        return f"{folder} has no config.json"
    files = weight_files(folder)
    if missing := sorted(_indexed(folder) - {file.name for file in files}):
        return f"{folder} lacks {missing[0]}"
    if not files:
        return f"there are no weights in safetensors form in {folder}"
    cut = [file.name for file in files if file.stat().st_size < _whole_bytes(file)]
    return f"{cut[0]} in {folder} is cut off: copy it again" if cut else None


def _indexed(folder: Path) -> set[str]:
    """The files named in the index of a sharded model."""
    try:
        return set(json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values())
    except FileNotFoundError:
        return set()
    except (ValueError, KeyError, AttributeError, TypeError) as e:
        raise ModelRefused(f"{INDEX} in {folder} is not an index of weights") from e


def _whole_bytes(file: Path) -> int:
    """The length of a complete file in bytes, according to its header."""
    with file.open("rb") as source:
        raw = source.read(_LENGTH_BYTES)
    try:
        ends = [int(tensor["data_offsets"][1]) for tensor in header(file).values()]
    except (LookupError, TypeError, ValueError) as e:
        raise ModelRefused(f"{file.name} is not a safetensors file") from e
    return _LENGTH_BYTES + int.from_bytes(raw, "little") + max(ends, default=0)


def serving_fault(entry: BaseModelEntry) -> str | None:
    """Why engines cannot serve the weights as the catalog entry says; None if they can.

    A folder that cannot be read is no fault here.
    """
    for folder in (entry.path, entry.served_path):
        if has_mistral_format(folder) and not (folder / INDEX).is_file():
            # Engines would load both.
            return (
                f"{folder} contains its weights twice, also in Mistral's own form: remove the "
                f"files {MISTRAL_PREFIX}*.safetensors"
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


def template_digest(folder: Path) -> str | None:
    """The SHA-256 digest of the folder's chat template; None if none can be read."""
    try:
        text = next(filter(None, (_read_template(folder / name) for name in _TEMPLATE_FILES)), None)
    except (OSError, ValueError):
        return None
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _read_template(file: Path) -> str | None:
    if not file.is_file():
        return None
    text = file.read_text("utf-8")
    if file.suffix != ".json":
        return text
    template = json.loads(text).get("chat_template")
    return None if template is None else json.dumps(template)
