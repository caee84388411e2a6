"""Finds the cells of tables in texts (CSV, TSV, Markdown, SQL), and the headers of their columns.

The header of a column announces a value as "date of birth:" does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_MARKS: Final = ("\t", "|", ";", ",")
_CELLS: Final = {
    mark: re.compile(
        rf"""\s*(?:\*\*(?!\*))?(?:"([^"\n]*)"|'([^'\n]*)'|([^{re.escape(mark)}\n]*))"""
    )
    for mark in _MARKS
}
_RULE: Final = re.compile(r"[\s|:+=-]*")
"""The line below the header of a table in Markdown."""
_HEADER: Final = re.compile(r"[^\d\s.?!:=<>{}](?:[^\d.?!=<>{}]|\.(?=\s|$)){0,30}")
_MOST_WORDS: Final = 4  # of a header
_INSERT: Final = re.compile(r"\(([^()\n]{3,400})\)\s{1,9}VALUES\s{0,9}(\([^\n]{3,4000})", re.I)
_JOINED: Final = re.compile(r"[_-]|(?<=[a-z])(?=[A-Z])")


class Cell(NamedTuple):
    """A value at `text[start:end]`, and the words in the header of its column."""

    header: str
    start: int
    end: int


def find_cells(text: str) -> Iterator[Cell]:
    """Find the cells of tables with a header, and the values that SQL inserts."""
    if "\n" in text:
        yield from _cells_below_headers(text)
    for match in _INSERT.finditer(text):
        names = [text[a:b] for a, b in _cells(text, match.start(1), match.end(1), ",")]
        for row in re.finditer(r"\(([^()]*)\)", match[2]):
            start = match.start(2) + row.start(1)
            yield from _named(text, names, _cells(text, start, start + len(row[1]), ","))


def _cells_below_headers(text: str) -> Iterator[Cell]:
    mark, names, start = "", [""], 0
    for line in text.splitlines(keepends=True):
        end = start + len(line.rstrip())
        cells = _cells(text, start, end, mark) if mark else []
        if not mark or len(cells) != len(names):
            if not (mark and _RULE.fullmatch(line)):
                mark, names = _header(text, start, end)
        else:
            yield from _named(text, names, cells)
        start += len(line)


def _header(text: str, start: int, end: int) -> tuple[str, list[str]]:
    """Return the mark between the columns and the names of the columns, if a line is a header."""
    for mark in _MARKS:
        if mark in text[start:end]:
            names = [text[a:b] for a, b in _cells(text, start, end, mark)]
            named = [name for name in names if name or mark != "|"]
            if len(named) > 1 and all(
                _HEADER.fullmatch(name) and len(name.split()) <= _MOST_WORDS for name in named
            ):
                return mark, names
    return "", [""]


def _cells(text: str, start: int, end: int, mark: str) -> list[tuple[int, int]]:
    """Return the positions of the cells of a line, without spaces and quotation marks."""
    if mark == "|":
        line = text[start:end]
        end -= line.endswith("|")
        start += len(line) - len(line.lstrip().removeprefix("|"))
    cells: list[tuple[int, int]] = []
    while start <= end and (cell := _CELLS[mark].match(text, start, end)):
        first, last = cell.span(cell.lastindex or 0)
        cells.append((first, first + len(text[first:last].rstrip().removesuffix("**"))))
        start = text.find(mark, cell.end(), end) + 1 or end + 1
    return cells


def _named(text: str, names: list[str], cells: list[tuple[int, int]]) -> Iterator[Cell]:
    for name, (start, end) in zip(names, cells, strict=False):
        if name and end - start > (3 if text[start : start + 1].isascii() else 1):
            yield Cell(_JOINED.sub(" ", name), start, end)
