"""Pages of a file's rows, read from the index of its report.

A page takes the directory of the index, the blocks of entries that contain wanted rows, and the
bytes of these rows. Memory and time do not depend on the size of the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from service.core.storage import Storage
from service.datasets.checks.issue_codes import CHECKS
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
_GAP_BYTES = 64 * 1024  # what is read at once may contain as many bytes of other rows


class Sized(Protocol):
    """What refers to rows of a known length."""

    @property
    def bytes(self) -> int: ...


class Place(Sized, Protocol):
    """A row: its line, and its place among the canonical rows of its file."""

    @property
    def line(self) -> int: ...
    @property
    def start(self) -> int: ...


_S = TypeVar("_S", bound=Sized)


def bounded(entries: Sequence[_S]) -> Sequence[_S]:
    """Return the first entries whose rows are small enough for one page."""
    size = 0
    for number, entry in enumerate(entries):
        size += entry.bytes
        if number and size > MAX_PAGE_BYTES:
            return entries[:number]
    return entries


async def read_rows(storage: Storage, key: str, places: Iterable[Place]) -> dict[int, bytes]:
    """Return canonical rows of a file by line. Raises StorageMissing."""
    texts: dict[int, bytes] = {}
    wanted = sorted((place for place in places if place.bytes), key=lambda place: place.start)
    for group in _neighbors(wanted):
        start = group[0].start
        data = await read_range(storage, key, start, group[-1].start + group[-1].bytes)
        for place in group:
            at = place.start - start
            texts[place.line] = data[at : at + place.bytes]
    return texts


async def read_range(storage: Storage, key: str, start: int, end: int) -> bytes:
    """Return the bytes from `start` to `end` of an object. Raises StorageMissing."""
    return b"".join([chunk async for chunk in await storage.stream(key, start, end)])


def _neighbors(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """Yield groups of rows that are close to each other."""
    first = 0
    for at in range(1, len(places) + 1):
        if at == len(places) or places[at].start > _GAP_BYTES + (
            places[at - 1].start + places[at - 1].bytes
        ):
            yield places[first:at]
            first = at


Sort = Literal["line", "score"]


class UnknownLine(Exception):
    """The file has no row at a line after which rows by score should start."""


class OldIndex(Exception):
    """The index was written by an earlier version, and has no scores."""


class Wanted(NamedTuple):
    """Rows to return: those after a line that fit all of the filters that are given."""

    after: int
    limit: int
    issue: str | None = None
    language: str | None = None
    sort: Sort = "line"
    max_score: float | None = None

    @property
    def none_is_best(self) -> bool:
        """Whether all the rows have a lower score than the best."""
        is_lowered = self.issue is not None and weight(self.issue).tenths > 0
        return is_lowered or (self.max_score is not None and self.max_score < BEST)

    def may_match(self, block: Block) -> bool:
        """Whether a block has rows with the finding, in the language, and with such a score."""
        return block.contains(self.issue, self.language) and (
            self.max_score is None or block.lowest <= self.max_score
        )

    def matches(self, entry: RowEntry) -> bool:
        """Whether a row has the finding, is in the language, and has such a score."""
        return (
            self.language in (None, entry.language)
            and (self.issue is None or any(f.code == self.issue for f in entry.findings))
            and (self.max_score is None or (_has_score(entry) and entry.score <= self.max_score))
        )


_Place = tuple[float, int]
"""The score and line of a row. Among rows in the order of the file, the score is 0."""


class _Part(NamedTuple):
    """Entries in one order, those after a place: with lowered scores, with the best, or all."""

    key: str
    blocks: Sequence[Block]
    after: _Place
    by_score: bool = False
    only_best: bool = False

    def place(self, score: float, line: int) -> _Place:
        return (score if self.by_score else 0.0, line)

    def may_match(self, block: Block) -> bool:
        is_later = self.place(block.last_score, block.last_line) > self.after
        return is_later and (block.best > 0 or not self.only_best)

    def matches(self, entry: RowEntry) -> bool:
        is_later = self.place(entry.score, entry.line) > self.after
        return is_later and (entry.score == BEST or not self.only_best)


class RowReader:
    """Reads rows of a file whose report is completed."""

    def __init__(self, storage: Storage, file: FileRecord, report: Task) -> None:
        self._storage = storage
        self._file = file
        self._folder = report.folder

    async def page(self, wanted: Wanted) -> bytes:
        """Return a page of rows as a list response.

        Raises OldIndex, UnknownLine, and StorageMissing.
        """
        data = await self._storage.get_bytes(f"{self._folder}/{DIRECTORY}")
        directory = await asyncio.to_thread(msgspec.json.decode, data, type=Directory)
        found: list[RowEntry] = []
        for part in await self._parts(directory, wanted):
            found += await self._entries(part, wanted, wanted.limit + 1 - len(found))
        page = bounded(found[: wanted.limit])
        own = f"{self._folder}/{TEXTS}"
        key = own if directory.has_texts else self._file.canonical_key
        texts = await read_rows(self._storage, key, page)
        return await asyncio.to_thread(_response, page, texts, has_more=len(page) < len(found))

    async def _parts(self, directory: Directory, wanted: Wanted) -> list[_Part]:
        """Return the parts of the index that have the wanted rows, in their order."""
        if directory.worst is None:
            raise OldIndex
        rows = _Part(f"{self._folder}/{ENTRIES}", directory.blocks, (0.0, wanted.after))
        if wanted.sort == "line":
            return [rows]
        score, line = await self._place(rows, wanted.after) if wanted.after else (0.0, 0)
        worst = _Part(f"{self._folder}/{WORST}", directory.worst, (score, line), by_score=True)
        best = rows._replace(after=(0.0, line if score == BEST else 0), only_best=True)
        return [worst] if wanted.none_is_best else [worst, best]

    async def _place(self, rows: _Part, line: int) -> _Place:
        before = rows._replace(after=(0.0, line - 1))
        for entry in await self._entries(before, Wanted(0, 1), 1):
            if entry.line == line:
                return (entry.score, line)
        raise UnknownLine(line)

    async def _entries(self, part: _Part, wanted: Wanted, most: int) -> list[RowEntry]:
        """Return up to `most` wanted rows of a part of the index."""
        found: list[RowEntry] = []
        for block in part.blocks:
            if len(found) >= most:
                break
            if part.may_match(block) and wanted.may_match(block):
                data = await read_range(self._storage, part.key, block.start, block.end)
                found += await asyncio.to_thread(_matching, data, part, wanted)
        return found[: max(most, 0)]


def _matching(data: bytes, part: _Part, wanted: Wanted) -> list[RowEntry]:
    entries = msgspec.json.Decoder(RowEntry).decode_lines(data)
    return [entry for entry in entries if part.matches(entry) and wanted.matches(entry)]


def _response(entries: Sequence[RowEntry], texts: dict[int, bytes], *, has_more: bool) -> bytes:
    data = [_object(entry, texts.get(entry.line)) for entry in entries]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": data,
            "has_more": has_more,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
        }
    )


def _object(entry: RowEntry, row: bytes | None) -> dict[str, Any]:
    return {
        "id": str(entry.line),
        "object": "file.row",
        "line": entry.line,
        "language": entry.language or None,
        "score": entry.score if _has_score(entry) else None,
        "row": None if row is None else msgspec.Raw(row.rstrip(b"\n")),
        "findings": [_finding(found) for found in entry.findings],
    }


def _has_score(entry: RowEntry) -> bool:
    """Whether the entry is a row. A blank line, which has findings, is none."""
    return entry.bytes > 0 or entry.score < BEST


def _finding(found: RowFinding) -> dict[str, Any]:
    check = CHECKS[found.code]
    return {
        "code": found.code,
        "severity": check.severity,
        "weight": weight(found.code).points,
        "message": found.message,
        "fix": check.fix,
        "pointer": found.pointer,
        "other_line": found.other_line,
        "similarity": found.similarity,
    }
