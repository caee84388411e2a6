"""Modules that take seconds to import (torch, vLLM), imported on first use.

    torch = Lazy("torch")

Collecting the tests then imports none of them in any pytest process.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.garbage_collection import quick_imports


class Lazy:
    """Proxy for a module, which is imported when an attribute is first accessed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # pytest looks for these while it collects.
        if attribute.startswith(("__", "_pytest", "_mock", "pytest")):
            raise AttributeError(attribute)
        module = sys.modules.get(self._name)
        if module is not None and attribute in vars(module):
            return vars(module)[attribute]
        with imports_of_a_trainer():  # also for transformers' attributes, which are lazy too
            return getattr(importlib.import_module(self._name), attribute)


@contextmanager
def imports_of_a_trainer() -> Iterator[None]:
    """Import libraries in this block as a trainer does, in half of the time."""
    with pytest.MonkeyPatch.context() as environment, quick_imports():
        environment.setenv("TORCHDYNAMO_DISABLE", "1")
        yield
    # At its end, Python collects what the libraries made; triton complains of what it finds later.
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)
