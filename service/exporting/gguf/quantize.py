"""Quantization of a GGUF file with llama.cpp."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Final

from service.exporting.contract import ExportFailure

_TYPES: Final = {"q8_0": 7, "q5_k_m": 17, "q4_k_m": 15}
"""llama.cpp's `llama_ftype` of each quantization."""


def quantize(source: Path, target: Path, quantization: str, threads: int) -> None:
    """Quantize a GGUF file of 16 bits. Raises ExportFailure, and OSError if the disk is full."""
    from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

    ffi: Any = get_ffi()
    llama: Any = get_lib()
    params = ffi.new("llama_model_quantize_params *", llama.llama_model_quantize_default_params())
    params.ftype = _TYPES[quantization]
    params.nthread = threads
    failed = llama.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    if not failed:
        return
    free = os.statvfs(target.parent)
    if free.f_bavail * free.f_frsize < source.stat().st_size:
        raise OSError(errno.ENOSPC, "No space left on device")
    raise ExportFailure(
        "unsupported_model", f"llama.cpp cannot quantize the model to {quantization}."
    )
