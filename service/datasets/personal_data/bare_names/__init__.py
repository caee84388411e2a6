"""Names without context, found by lists: a module and a TOML file with names per language."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files


@cache
def names(language: str, which: str) -> frozenset[str]:
    """Return a list of names, such as the `given` names of `korean`."""
    return frozenset(_file(language)[which].split())


@cache
def phrases(language: str, which: str) -> frozenset[str]:
    """Return a list of names of several words, which are separated by bars and line ends."""
    written = _file(language)[which].replace("\n", "|")
    return frozenset(phrase for phrase in written.split("|") if phrase)


@cache
def _file(language: str) -> dict[str, str]:
    return tomllib.loads(files(__package__).joinpath(f"{language}.toml").read_text("utf-8"))
