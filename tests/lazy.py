"""Modules that take seconds to import (torch, vLLM), imported on first use.

    torch = Lazy("torch")

Collecting the tests then imports none of them in any pytest process.
"""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """Proxy for a module, which is imported when an attribute is first accessed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # pytest looks for these while it collects.
        if attribute.startswith(("__", "_pytest", "_mock", "pytest")):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
