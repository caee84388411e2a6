"""Names of a model's modules, in its files and in adapters."""

from __future__ import annotations


def path_in_layers(module: str) -> str:
    """The module path from `layers.<N>` on, as models nest their text part differently."""
    _, found, rest = module.rpartition("layers.")
    return found + rest if found else module
