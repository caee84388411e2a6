"""Values cut to what a preview can hold, so that no file makes it large."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from service.datasets.checks.issues import Issue

MAX_NAME_CHARS = 256  # the limit of names in format options
_MAX_TEXT_CHARS = 2_000
# The limits of one record or row. A character takes up to six bytes in JSON.
_MAX_CHARS = 16_000
_MAX_ITEMS = 100
_ITEM_CHARS = 8  # what an item takes without its text, as a number or an empty list does
_MAX_INTEGER_BITS = 63
_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")


def cut_value(value: Any) -> Any:
    """Return a JSON value with long texts, lists and objects cut, and what is missing noted."""
    return _Cutter().cut(value)


def cut_text(text: str, limit: int = _MAX_TEXT_CHARS) -> str:
    """Return valid Unicode text, cut to `limit` characters with a note of how many are missing."""
    missing = len(text) - limit
    text = _SURROGATES.sub("\ufffd", text[:limit])
    return f"{text}… ({missing:,} more characters)" if missing > 0 else text


def cut_name(name: str) -> str:
    """Return the name of a column or sheet; a longer one could not be an option."""
    return _SURROGATES.sub("\ufffd", name[:MAX_NAME_CHARS])


def cut_cells(cells: list[str], *, count: int, chars: int) -> list[str]:
    """Return the first cells of a row, each as one short line."""
    short = [_BLANKS.sub(" ", _SURROGATES.sub("\ufffd", cell[: 4 * chars])) for cell in cells]
    return [text if len(text) <= chars else text[: chars - 1] + "…" for text in short[:count]]


def cut_issue(issue: Issue) -> Issue:
    """Return an issue without the rest of a long pointer, which contains names of columns."""
    return msgspec.structs.replace(issue, pointer=cut_name(issue.pointer))


class _Cutter:
    """Cuts one value within the limits of all its texts together."""

    def __init__(self) -> None:
        self._left = _MAX_CHARS

    def cut(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and value.bit_length() <= _MAX_INTEGER_BITS:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, dict):
            return self._cut_object(value)
        if isinstance(value, list | tuple):
            return self._cut_list(value)
        return self._cut_text(value if isinstance(value, str) else str(value))

    def _cut_text(self, text: str) -> str:
        text = cut_text(text, max(0, min(_MAX_TEXT_CHARS, self._left)))
        self._left -= len(text)
        return text

    def _cut_object(self, value: dict[Any, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for place, (name, inner) in enumerate(value.items()):
            if place == _MAX_ITEMS or self._left <= 0:
                kept["…"] = f"({len(value) - place:,} more fields)"
                break
            name = cut_name(str(name))
            self._left -= len(name) + _ITEM_CHARS
            kept[name] = self.cut(inner)
        return kept

    def _cut_list(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        kept: list[Any] = []
        for place, inner in enumerate(value):
            if place == _MAX_ITEMS or self._left <= 0:
                kept.append(f"… ({len(value) - place:,} more items)")
                break
            self._left -= _ITEM_CHARS
            kept.append(self.cut(inner))
        return kept
