"""Read safetensors headers, and check that a base model's folder is complete."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import msgspec

from service.models.inspect import ModelRefused
from service.training.model.base_folder import weight_files

_MAX_HEADER_BYTES = 100 * 1024 * 1024  # safetensors' own limit
_LENGTH_BYTES = 8
INDEX = "model.safetensors.index.json"


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
