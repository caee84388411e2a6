"""Imports of large libraries at the start of a process."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import libraries in this block without what makes their import slow and has no effect.

    The objects that imports create are permanent, so garbage collection would take up to a quarter
    of the time and find nothing. And transformers and TRL each read the metadata of all installed
    packages, which takes half a second.
    """
    gc.disable()
    metadata.packages_distributions = functools.cache(metadata.packages_distributions)
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
