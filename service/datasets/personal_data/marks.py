"""Marks of personal data in a row, and rows in which the marked parts are replaced by labels.

A report stores the marks of each row (`redact.find_marks`), so that the API can mask rows without
searching them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

Row = dict[str, Any]


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Personal data in a row: its kind, and its position in the value at a JSON Pointer.

    `start` and `end` count Unicode code points. If both are 0, the whole value is personal data:
    because it is not a string, such as a number or an object whose keys are personal data, or
    because the row has too many marks.
    """

    pointer: str
    start: int
    end: int
    kind: str


class MaskedRow(NamedTuple):
    """A row with labels such as [EMAIL], and the marks of the labels."""

    row: Row
    marks: list[Mark]


def mask_row(row: Row, marks: Iterable[Mark]) -> MaskedRow:
    """Return the row with labels in place of the marked parts. The given row is changed."""
    labels: list[Mark] = []
    for pointer, found in groupby(sorted(marks, key=_position), key=lambda mark: mark.pointer):
        *parents, last = _keys(pointer)
        owner: Any = row
        for key in parents:
            owner = owner[_index(owner, key)]
        key = _index(owner, last)
        value = owner[key]
        places = list(found)
        is_whole = not isinstance(value, str) or not places[0].end
        owner[key], new = _mask(None if is_whole else value, places)
        labels += new
    return MaskedRow(row, labels)


def escape(key: str) -> str:
    """Return a key as a part of a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def _mask(text: str | None, marks: Sequence[Mark]) -> tuple[str, list[Mark]]:
    """Return a text with labels, and their marks. A value that is no text becomes one label."""
    if text is None:
        label = _label(marks[0])
        return label, [Mark(marks[0].pointer, 0, len(label), marks[0].kind)]
    masked, end = "", 0
    labels: list[Mark] = []
    for mark in marks:
        masked += text[end : mark.start]
        start, end = len(masked), mark.end
        masked += _label(mark)
        labels.append(Mark(mark.pointer, start, len(masked), mark.kind))
    return masked + text[end:], labels


def _label(mark: Mark) -> str:
    return f"[{mark.kind.upper()}]"


def _position(mark: Mark) -> tuple[str, int]:
    return mark.pointer, mark.start


def _keys(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _index(owner: Any, key: str) -> Any:
    return int(key) if isinstance(owner, list) else key
