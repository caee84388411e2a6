"""Reads the lists of names (`lists/*.toml`)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Final

_FOLDER: Final = files("service.datasets.personal_data.names").joinpath("lists")


@cache
def listed(language: str, which: str) -> frozenset[str]:
    """Return a list of names, such as the `given` names of `korean`."""
    return frozenset(_read(language)[which].split())


@cache
def phrases(language: str, which: str) -> frozenset[str]:
    """Return a list of names of several words, separated by bars and line ends."""
    return frozenset(filter(None, _read(language)[which].replace("\n", "|").split("|")))


def is_public(name: str) -> bool:
    """Return whether a name is that of a person of history or public life, or of a brand."""
    return name in phrases("public", "names")


@cache
def _read(language: str) -> dict[str, str]:
    return tomllib.loads(_FOLDER.joinpath(f"{language}.toml").read_text("utf-8"))
