"""Quantization of a GGUF file with llama.cpp."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from service.exporting.contract import ExportFailure

_TYPES: Final = {"q8_0": 7, "q5_k_m": 17, "q4_k_m": 15}
"""llama.cpp's `llama_ftype` of each quantization."""

_F32: Final = 0
_Q5_0: Final = 6
_Q5_1: Final = 7


def quantize(source: Path, target: Path, quantization: str, threads: int) -> None:
    """Quantize a GGUF file of 16 bits. Raises ExportFailure, and OSError if the disk is full.

    Rows of Q5_K have a multiple of 256 weights. For others, llama.cpp takes Q5_1, which is larger
    than Q5_0 and no closer: the demo's model in q5_k_m differed from the engine by 0.32 nats per
    token, and by 0.11 with Q5_0. So Q5_0 replaces it.
    """
    _quantize(source, target, quantization, threads, {})
    types = _tensor_types(target)
    if _Q5_1 in types.values():
        # All of them, since llama.cpp chooses the others again if only some are given.
        better = {name: _Q5_0 if kind == _Q5_1 else kind for name, kind in types.items()}
        _quantize(source, target, quantization, threads, better)


def _tensor_types(file: Path) -> dict[str, int]:
    """Return the `ggml_type` of each quantized tensor."""
    from gguf import GGUFReader

    found = {tensor.name: int(tensor.tensor_type) for tensor in GGUFReader(file).tensors}
    return {name: kind for name, kind in found.items() if kind != _F32}


def _quantize(
    source: Path, target: Path, quantization: str, threads: int, types: Mapping[str, int]
) -> None:
    """Quantize a file. `types` has the `ggml_type` of tensors that llama.cpp does not choose."""
    from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

    ffi: Any = get_ffi()
    llama: Any = get_lib()
    params = ffi.new("llama_model_quantize_params *", llama.llama_model_quantize_default_params())
    params.ftype = _TYPES[quantization]
    params.nthread = threads
    # The array ends with an entry without a pattern. Patterns are regular expressions.
    patterns = [ffi.new("char[]", f"^{name.replace('.', '[.]')}$".encode()) for name in types]
    overrides = ffi.new("struct llama_model_tensor_override[]", len(types) + 1)
    for override, pattern, kind in zip(overrides, patterns, types.values(), strict=False):
        override.pattern, override.type = pattern, kind
    if types:
        params.tt_overrides = overrides
    failed = llama.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    if not failed:
        return
    free = os.statvfs(target.parent)
    if free.f_bavail * free.f_frsize < source.stat().st_size:
        raise OSError(errno.ENOSPC, "No space left on device")
    raise ExportFailure(
        "unsupported_model", f"llama.cpp cannot quantize the model to {quantization}."
    )
