"""Modules that take seconds to import (torch, vLLM), imported by the tests that use them.

    torch = Lazy("torch")

Collecting all tests then imports none of them, in no pytest process.
"""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """Stands in for a module, which the first access to an attribute imports."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # pytest looks for these while it collects.
        if attribute.startswith(("__", "_pytest", "_mock", "pytest")):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
