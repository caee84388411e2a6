"""Tensors of a safetensors file, as arrays that are read from disk where they are used."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import numpy as np

from service.datasets.errors import refuse

Floats = np.ndarray[Any, np.dtype[np.float32]]

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 16 * 1024 * 1024
_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: list[_Count]
    data_offsets: tuple[_Count, _Count]


class Tensor:
    """A tensor of a file. Only the rows that are taken are read."""

    def __init__(self, values: Any, *, is_bfloat: bool) -> None:
        self._values = values
        self._is_bfloat = is_bfloat
        self.shape: tuple[int, ...] = values.shape

    def take(self, rows: Any) -> Floats:
        """Return the given rows."""
        return self._floats(self._values[rows])

    def whole(self) -> Floats:
        """Return all values."""
        return self._floats(self._values)

    def integers(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return all values of a tensor of integers."""
        return np.asarray(self._values, dtype=np.int64)

    def _floats(self, values: Any) -> Floats:
        if self._is_bfloat:  # the upper half of a float32
            return np.asarray(values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return np.asarray(values, dtype=np.float32)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, by name. Raises DatasetError."""
    size = file.stat().st_size
    with file.open("rb") as source:
        start = source.read(_LENGTH_BYTES)
        length = struct.unpack("<Q", start)[0] if len(start) == _LENGTH_BYTES else size
        if length > min(_MAX_HEADER_BYTES, size):
            _invalid(file)
        header = source.read(length)
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        found = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in entries.items()}
        return {name: _tensor(file, entry, len(start) + length) for name, entry in found.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        _invalid(file)


def _tensor(file: Path, entry: _Entry, start: int) -> Tensor:
    dtype = np.dtype(_TYPES[entry.dtype]) if entry.dtype in _TYPES else _invalid(file)
    first, last = entry.data_offsets
    if last - first != int(np.prod(entry.shape, dtype=np.int64)) * dtype.itemsize:
        _invalid(file)
    values: Any = np.zeros(entry.shape, dtype)
    if last > first:  # an empty map is not allowed
        values = np.memmap(file, dtype, "r", offset=start + first, shape=tuple(entry.shape))
    return Tensor(values, is_bfloat=entry.dtype == "BF16")


def _invalid(file: Path) -> NoReturn:
    raise refuse("encoder_unusable", reason=f"{file.name} is no safetensors file of numbers")
