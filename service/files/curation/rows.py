"""Reads pages of a file's rows from the index of its report.

A page reads the directory of the index, the blocks with wanted rows, and the bytes of these rows.
Memory and time do not depend on the size of the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from service.core.storage import Storage
from service.datasets.checks.issue_codes import CHECKS
from service.datasets.personal_data.marks import Mark, mask_row
from service.datasets.quality import BEST, weight
from service.datasets.report.row_index import (
    DIRECTORY,
    ENTRIES,
    TEXTS,
    WORST,
    Block,
    Directory,
    RowEntry,
    RowFinding,
)
from service.files.curation.records import Task
from service.files.records import FileRecord

MAX_PAGE_BYTES = 4 * 1024 * 1024  # of rows; the first row is always included
_GAP_BYTES = 64 * 1024  # of other rows that one read may include


class Sized(Protocol):
    """An entry of an index that refers to rows of a known length."""

    @property
    def bytes(self) -> int: ...


class Location(Sized, Protocol):
    """The line of a row, and its offset in the canonical rows of its file."""

    @property
    def line(self) -> int: ...
    @property
    def start(self) -> int: ...


_S = TypeVar("_S", bound=Sized)


def bounded(entries: Sequence[_S]) -> Sequence[_S]:
    """Return the first entries, as many as fit on a page."""
    size = 0
    for number, entry in enumerate(entries):
        size += entry.bytes
        if number and size > MAX_PAGE_BYTES:
            return entries[:number]
    return entries


async def read_rows(storage: Storage, key: str, rows: Iterable[Location]) -> dict[int, bytes]:
    """Return canonical rows of a file by line. Raises StorageMissing."""
    texts: dict[int, bytes] = {}
    wanted = sorted((row for row in rows if row.bytes), key=lambda row: row.start)
    for group in _neighbors(wanted):
        start = group[0].start
        data = await read_range(storage, key, start, group[-1].start + group[-1].bytes)
        for row in group:
            at = row.start - start
            texts[row.line] = data[at : at + row.bytes]
    return texts


async def read_range(storage: Storage, key: str, start: int, end: int) -> bytes:
    """Return the bytes from `start` to `end` of an object. Raises StorageMissing."""
    return b"".join([chunk async for chunk in await storage.stream(key, start, end)])


def encode_page(rows: Sequence[dict[str, Any]], *, has_more: bool) -> bytes:
    """Encode a page of a list."""
    return msgspec.json.encode(
        {
            "object": "list",
            "data": rows,
            "has_more": has_more,
            "first_id": rows[0]["id"] if rows else None,
            "last_id": rows[-1]["id"] if rows else None,
        }
    )


def _neighbors(rows: Sequence[Location]) -> Iterator[Sequence[Location]]:
    """Yield groups of rows that are close to each other."""
    first = 0
    for at in range(1, len(rows) + 1):
        end = rows[at - 1].start + rows[at - 1].bytes
        if at == len(rows) or rows[at].start > end + _GAP_BYTES:
            yield rows[first:at]
            first = at


Sort = Literal["line", "score"]
PersonalDataMode = Literal["mask", "show"]


class UnknownLine(Exception):
    """The file has no row at the line after which a page by score should start."""


class OldIndex(Exception):
    """The index of an earlier version has no positions of personal data."""


class RowQuery(NamedTuple):
    """The rows to return: those after a line that match all filters."""

    after: int
    limit: int
    issue: str | None = None
    language: str | None = None
    sort: Sort = "line"
    max_score: float | None = None
    personal_data: PersonalDataMode = "mask"

    @property
    def excludes_best(self) -> bool:
        """Whether no row can have the best score."""
        is_lowered = self.issue is not None and weight(self.issue).tenths > 0
        return is_lowered or (self.max_score is not None and self.max_score < BEST)

    def may_match(self, block: Block) -> bool:
        """Return whether a block may have matching rows."""
        return block.contains(self.issue, self.language) and (
            self.max_score is None or block.lowest <= self.max_score
        )

    def matches(self, entry: RowEntry) -> bool:
        """Return whether a row matches."""
        return (
            self.language in (None, entry.language)
            and (self.issue is None or any(f.code == self.issue for f in entry.findings))
            and (self.max_score is None or (_has_score(entry) and entry.score <= self.max_score))
        )


_Position = tuple[float, int]
"""The score and line of a row. In the order of the file, the score is 0."""


class _Part(NamedTuple):
    """The entries after a position: all, those with lowered scores, or those with the best."""

    key: str
    blocks: Sequence[Block]
    after: _Position
    by_score: bool = False
    only_best: bool = False

    def position(self, score: float, line: int) -> _Position:
        return (score if self.by_score else 0.0, line)

    def may_match(self, block: Block) -> bool:
        is_later = self.position(block.last_score, block.last_line) > self.after
        return is_later and (block.best > 0 or not self.only_best)

    def matches(self, entry: RowEntry) -> bool:
        is_later = self.position(entry.score, entry.line) > self.after
        return is_later and (entry.score == BEST or not self.only_best)


class RowPage(NamedTuple):
    """A page of rows as the body of a list response.

    `revealed` are the lines of the rows whose personal data it shows.
    """

    body: bytes
    revealed: list[int]


class RowReader:
    """Reads rows of a file whose report is completed."""

    def __init__(self, storage: Storage, file: FileRecord, report: Task) -> None:
        self._storage = storage
        self._file = file
        self._folder = report.folder

    async def page(self, query: RowQuery) -> RowPage:
        """Return a page of rows. Raises OldIndex, UnknownLine, and StorageMissing."""
        data = await self._storage.get_bytes(f"{self._folder}/{DIRECTORY}")
        directory = await asyncio.to_thread(msgspec.json.decode, data, type=Directory)
        if not directory.has_marks:
            raise OldIndex
        found: list[RowEntry] = []
        for part in await self._parts(directory, query):
            found += await self._entries(part, query, query.limit + 1 - len(found))
        page = bounded(found[: query.limit])
        own = f"{self._folder}/{TEXTS}"
        key = own if directory.has_texts else self._file.canonical_key
        texts = await read_rows(self._storage, key, page)
        has_more = len(page) < len(found)
        body = await asyncio.to_thread(_response, page, texts, query, has_more=has_more)
        shows = query.personal_data != "mask"
        return RowPage(body, [entry.line for entry in page if shows and entry.line in texts])

    async def _parts(self, directory: Directory, query: RowQuery) -> list[_Part]:
        """Return the parts of the index that have the wanted rows, in their order."""
        rows = _Part(f"{self._folder}/{ENTRIES}", directory.blocks, (0.0, query.after))
        if query.sort == "line":
            return [rows]
        score, line = await self._position(rows, query.after) if query.after else (0.0, 0)
        worst = _Part(f"{self._folder}/{WORST}", directory.worst, (score, line), by_score=True)
        best = rows._replace(after=(0.0, line if score == BEST else 0), only_best=True)
        return [worst] if query.excludes_best else [worst, best]

    async def _position(self, rows: _Part, line: int) -> _Position:
        before = rows._replace(after=(0.0, line - 1))
        for entry in await self._entries(before, RowQuery(0, 1), 1):
            if entry.line == line:
                return (entry.score, line)
        raise UnknownLine(line)

    async def _entries(self, part: _Part, query: RowQuery, most: int) -> list[RowEntry]:
        """Return up to `most` wanted rows of a part of the index."""
        found: list[RowEntry] = []
        for block in part.blocks:
            if len(found) >= most:
                break
            if part.may_match(block) and query.may_match(block):
                data = await read_range(self._storage, part.key, block.start, block.end)
                found += await asyncio.to_thread(_matching, data, part, query)
        return found[: max(most, 0)]


def _matching(data: bytes, part: _Part, query: RowQuery) -> list[RowEntry]:
    entries = msgspec.json.Decoder(RowEntry).decode_lines(data)
    return [entry for entry in entries if part.matches(entry) and query.matches(entry)]


def _response(
    entries: Sequence[RowEntry], texts: dict[int, bytes], query: RowQuery, *, has_more: bool
) -> bytes:
    rows = [_object(entry, texts.get(entry.line), query.personal_data) for entry in entries]
    return encode_page(rows, has_more=has_more)


def _object(entry: RowEntry, row: bytes | None, mode: PersonalDataMode) -> dict[str, Any]:
    shown: Any = None if row is None else msgspec.Raw(row.rstrip(b"\n"))
    marks: Sequence[Mark] = entry.marks
    if mode == "mask" and row is not None and marks:
        shown, marks = mask_row(msgspec.json.decode(row), marks)
    return {
        "id": str(entry.line),
        "object": "file.row",
        "line": entry.line,
        "language": entry.language or None,
        "score": entry.score if _has_score(entry) else None,
        "row": shown,
        "findings": [_finding(found) for found in entry.findings],
        "personal_data": [_mark(mark) for mark in marks],
    }


def _mark(mark: Mark) -> dict[str, Any]:
    fields = ("pointer", "start", "end", "kind")
    return {name: getattr(mark, name) for name in fields}


def _has_score(entry: RowEntry) -> bool:
    """Return whether the entry is a row. A blank line has findings, but is not a row."""
    return entry.bytes > 0 or entry.score < BEST


def _finding(found: RowFinding) -> dict[str, Any]:
    check = CHECKS[found.code]
    return {
        "code": found.code,
        "severity": check.severity,
        "weight": weight(found.code).points,
        "message": found.message,
        "figures": found.figures or {},
        "fix": check.fix,
        "pointer": found.pointer,
        "other_line": found.other_line,
        "similarity": found.similarity,
    }
