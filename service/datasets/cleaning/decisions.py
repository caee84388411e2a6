"""Decisions on single rows: what to keep, to drop, and to write instead.

A decision names the row by its line in the source file. A row that is kept or edited is not dropped
as a duplicate or contradiction. A broken row can be edited or dropped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from service.datasets.errors import DatasetError, refuse
from service.datasets.facts import RowFormat
from service.datasets.rows.canonical import canonical_line


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision on the row at `line`. An edit has the `row` to use instead."""

    line: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
    action: Literal["keep", "drop", "edit"]
    row: dict[str, Any] | None = None


_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(\w+)`")
_PLACE = re.compile(r"`\$\.(line|action|row)\b")
_FIELDS = {
    "line": "not the number of a line, from 1",
    "action": "not 'keep', 'drop' or 'edit'",
    "row": "not an object",
}

_decode = msgspec.json.Decoder(Decision).decode


class Decisions:
    """All decisions on a file. Raises DatasetError if one is invalid."""

    def __init__(self, path: Path, row_format: RowFormat) -> None:
        self.dropped: set[int] = set()
        self.edited: dict[int, bytes] = {}
        self._kept: set[int] = set()
        with path.open("rb") as lines:
            for number, data in enumerate(lines, 1):
                if data.strip():
                    self._add(_decision(data, number), number, row_format)

    @property
    def protected(self) -> Collection[int]:
        """Lines of rows that must not be dropped as duplicates or contradictions."""
        return self._kept | self.edited.keys()

    def check(self, valid: Iterable[int], broken: Collection[int]) -> None:
        """Raise DatasetError if a decision is about a line without a row, or keeps a broken row."""
        rows = set(valid)
        for line in sorted(self._kept - rows):
            raise refuse("broken_row_kept" if line in broken else "no_row_at_line", line)
        for line in sorted((self.dropped | self.edited.keys()) - rows.union(broken)):
            raise refuse("no_row_at_line", line)

    def apply(self, rows: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yield the rows that remain, with their lines. Edited broken rows are among them."""
        edits = sorted(self.edited, reverse=True)
        for line, data in rows:
            while edits and edits[-1] < line:
                yield edits[-1], self.edited[edits.pop()]
            if edits and edits[-1] == line:
                yield line, self.edited[edits.pop()]
            elif line not in self.dropped:
                yield line, data
        yield from ((line, self.edited[line]) for line in reversed(edits))

    def _add(self, decision: Decision, number: int, row_format: RowFormat) -> None:
        line = decision.line
        if line in self.dropped or line in self._kept or line in self.edited:
            raise _invalid(number, f"there is an earlier one on line {line}")
        if (decision.row is not None) != (decision.action == "edit"):
            raise _invalid(number, "'edit' needs a 'row', and only 'edit' has one")
        if decision.row is not None:
            data, issue = canonical_line(msgspec.json.encode(decision.row), line, row_format)
            if issue is not None:
                raise DatasetError(issue)
            self.edited[line] = data.rstrip(b"\n")
        else:
            (self._kept if decision.action == "keep" else self.dropped).add(line)


def _decision(data: bytes, number: int) -> Decision:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as e:
        raise _invalid(number, _fault(str(e))) from None


def _fault(reason: str) -> str:
    """Return what is wrong with a decision, from msgspec's reason."""
    if (found := _UNKNOWN.search(reason)) is not None:
        return f"it has an unknown field '{found[1][:80]}'"
    if (found := _MISSING.search(reason)) is not None:
        return f"it has no '{found[1]}'"
    if (found := _PLACE.search(reason)) is not None:
        return f"'{found[1]}' is {_FIELDS[found[1]]}"
    return "it is not a JSON object"


def _invalid(number: int, reason: str) -> DatasetError:
    return refuse("invalid_decision", number=number, reason=reason.rstrip("."))
