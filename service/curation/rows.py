"""Pages of a file's rows, read from the index of its report.

A page takes the directory of the index, the blocks of entries that contain wanted rows, and the
bytes of these rows. Memory and time do not depend on the size of the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from service.core.storage import Storage
from service.curation.records import Task
from service.datasets.checks.table import CHECKS
from service.datasets.report.row_index import (
    DIRECTORY,
    ENTRIES,
    TEXTS,
    Block,
    Directory,
    RowEntry,
    RowFinding,
)
from service.files.records import FileRecord

MAX_PAGE_BYTES = 4 * 1024 * 1024  # of rows; the first row is always included
_GAP_BYTES = 64 * 1024  # what is read at once may contain as many bytes of other rows


class Wanted(NamedTuple):
    """Rows to return: those after a line that have a finding, in a language, or all of them."""

    after: int
    limit: int
    issue: str | None
    language: str | None

    def matches(self, entry: RowEntry) -> bool:
        """Whether a row is wanted."""
        return (
            entry.line > self.after
            and self.language in (None, entry.language)
            and (self.issue is None or any(f.code == self.issue for f in entry.findings))
        )


class RowReader:
    """Reads rows of a file whose report is completed."""

    def __init__(self, storage: Storage, file: FileRecord, report: Task) -> None:
        self._storage = storage
        self._file = file
        self._folder = report.folder

    async def page(self, wanted: Wanted) -> bytes:
        """Return a page of rows as a list response. Raises StorageMissing."""
        data = await self._storage.get_bytes(f"{self._folder}/{DIRECTORY}")
        directory = await asyncio.to_thread(msgspec.json.decode, data, type=Directory)
        found = await self._entries(directory.blocks, wanted)
        page = _bounded(found[: wanted.limit])
        own = f"{self._folder}/{TEXTS}"
        texts = await self._texts(own if directory.has_texts else self._file.canonical_key, page)
        return await asyncio.to_thread(_response, page, texts, has_more=len(page) < len(found))

    async def _entries(self, blocks: Sequence[Block], wanted: Wanted) -> list[RowEntry]:
        """Return the wanted rows, and one more if there are more."""
        found: list[RowEntry] = []
        for block in blocks:
            if block.last_line <= wanted.after:
                continue
            if block.contains(wanted.issue, wanted.language):
                data = await self._range(f"{self._folder}/{ENTRIES}", block.start, block.end)
                found += await asyncio.to_thread(_matching, data, wanted)
            if len(found) > wanted.limit:
                break
        return found[: wanted.limit + 1]

    async def _texts(self, key: str, entries: Sequence[RowEntry]) -> dict[int, bytes]:
        """Return the canonical rows of the entries by line."""
        texts: dict[int, bytes] = {}
        for group in _neighbors([entry for entry in entries if entry.bytes]):
            start = group[0].start
            data = await self._range(key, start, group[-1].start + group[-1].bytes)
            for entry in group:
                at = entry.start - start
                texts[entry.line] = data[at : at + entry.bytes]
        return texts

    async def _range(self, key: str, start: int, end: int) -> bytes:
        return b"".join([chunk async for chunk in await self._storage.stream(key, start, end)])


def _matching(data: bytes, wanted: Wanted) -> list[RowEntry]:
    return list(filter(wanted.matches, msgspec.json.Decoder(RowEntry).decode_lines(data)))


def _bounded(entries: Sequence[RowEntry]) -> Sequence[RowEntry]:
    """Return the first entries whose rows are small enough for one page."""
    size = 0
    for place, entry in enumerate(entries):
        size += entry.bytes
        if place and size > MAX_PAGE_BYTES:
            return entries[:place]
    return entries


def _neighbors(entries: Sequence[RowEntry]) -> Iterator[Sequence[RowEntry]]:
    """Yield groups of rows that are close to each other."""
    first = 0
    for place in range(1, len(entries) + 1):
        if place == len(entries) or entries[place].start > _GAP_BYTES + (
            entries[place - 1].start + entries[place - 1].bytes
        ):
            yield entries[first:place]
            first = place


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
        "row": None if row is None else msgspec.Raw(row.rstrip(b"\n")),
        "findings": [_finding(found) for found in entry.findings],
    }


def _finding(found: RowFinding) -> dict[str, Any]:
    check = CHECKS[found.code]
    return {
        "code": found.code,
        "severity": check.severity,
        "message": found.message,
        "fix": check.fix,
        "pointer": found.pointer,
        "other_line": found.other_line,
        "similarity": found.similarity,
    }
