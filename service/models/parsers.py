"""vLLM's parsers of what base models write: as declared in the catalog, or else as detected."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, NamedTuple

from service.models.catalogue import BaseModelEntry

NO_PARSER: Final = "none"
"""In the catalog and the settings: nothing is parsed, whatever the chat template writes."""
_TEMPLATES: Final = (
    "additional_chat_templates/tool_use.jinja",
    "chat_template.jinja",
    "tokenizer_config.json",
)


class Detected(NamedTuple):
    """vLLM's name of a parser, if the model needs one, and whether its template could be read."""

    parser: str | None
    is_known: bool


class Parsers(ABC):
    """Parsers of one kind.

    `default` is the operator's choice for all models for which the catalog declares none.
    """

    def __init__(self, default: str | None = None) -> None:
        self._default = default

    @abstractmethod
    def declared(self, entry: BaseModelEntry) -> str | None:
        """Return what the catalog declares."""

    @staticmethod
    @abstractmethod
    def detect(folder: Path) -> Detected:
        """Return what the chat template in a base model's folder shows."""

    def of(self, entry: BaseModelEntry) -> str | None:
        """Return vLLM's name of the model's parser, or None if it needs none."""
        return self._known(entry).parser

    def are_needed(self, entry: BaseModelEntry) -> bool | None:
        """Return whether the model has a parser; None if its folder cannot be read from here."""
        found = self._known(entry)
        return found.parser is not None if found.is_known else None

    def _known(self, entry: BaseModelEntry) -> Detected:
        declared = self.declared(entry) or self._default
        if declared is None:
            return _detected(type(self), entry.path, _version(entry.path))
        return Detected(None if declared == NO_PARSER else declared, True)


@functools.lru_cache(maxsize=256)
def _detected(kind: type[Parsers], folder: Path, _version: tuple[int, ...]) -> Detected:
    return kind.detect(folder)


def _version(folder: Path) -> tuple[int, ...]:
    """Return when the files that can hold the template changed, in ns; 0 for a missing one."""
    return tuple(_changed(folder / name) for name in _TEMPLATES)


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
