"""Check an adapter's safetensors file against its own header, without loading the tensors."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec

from service.datasets.errors import refuse

_LENGTH_BYTES = 8
# A header has about 150 bytes per tensor; a large mixture of experts has 40,000 of them.
_MAX_HEADER_BYTES = 16 * 1024 * 1024
_BYTES_OF = {"F32": 4, "F16": 2, "BF16": 2}
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: Annotated[list[_Count], msgspec.Meta(max_length=8)]
    data_offsets: tuple[_Count, _Count]


def check_weights(file: Path) -> None:
    """Raise DatasetError unless the file is complete and has only floating point tensors.

    The tensors must fill the file without gaps, in the types that adapters are trained in.
    """
    size = file.stat().st_size
    with file.open("rb") as source:
        start = source.read(_LENGTH_BYTES)
        if len(start) < _LENGTH_BYTES:
            _invalid("it is too short")
        (length,) = struct.unpack("<Q", start)
        if length > _MAX_HEADER_BYTES:
            _invalid("its header is too long")
        tensors = _tensors(source.read(length))
    end = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.data_offsets):
        if tensor.dtype not in _BYTES_OF:
            raise refuse("adapter_weights_type", dtype=tensor.dtype[:16])
        first, last = tensor.data_offsets
        if first != end or last - first != math.prod(tensor.shape) * _BYTES_OF[tensor.dtype]:
            _invalid("the offsets of its tensors do not match their shapes")
        end = last
    whole = _LENGTH_BYTES + length + end
    if size != whole:
        raise refuse("adapter_weights_cut_off", size=size, whole=whole)


def _tensors(header: bytes) -> dict[str, _Tensor]:
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        return {name: msgspec.json.decode(raw, type=_Tensor) for name, raw in entries.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _invalid("its header cannot be read")


def _invalid(reason: str) -> NoReturn:
    raise refuse("adapter_weights_invalid", reason=reason)
