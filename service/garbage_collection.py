"""Imports of large libraries at the start of a process."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_USUAL_THRESHOLDS: Final = gc.get_threshold()


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import libraries in this block without what makes their import slow and has no effect.

    Nothing is collected (`uncollected_imports`). And transformers and TRL each read the metadata of
    all installed packages, which takes half a second.
    """
    from importlib import metadata

    metadata.packages_distributions = functools.cache(metadata.packages_distributions)
    with uncollected_imports():
        yield


@contextmanager
def uncollected_imports() -> Iterator[None]:
    """Import libraries in this block without garbage collection.

    The objects that imports create are permanent, so it would take up to a quarter of the time and
    find nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def collect_seldom() -> None:
    """Collect garbage a hundred times less often, until `collect_as_usual`.

    For commands, which import hundreds of modules in many places and end soon: collections would
    take a fifth of their time.
    """
    gc.set_threshold(100 * _USUAL_THRESHOLDS[0])


def collect_as_usual() -> None:
    """Collect garbage as often as Python does by default: in processes that stay."""
    gc.set_threshold(*_USUAL_THRESHOLDS)
