"""Compares files, and reads pages of the rows that differ.

A diff is stored next to the earlier file, once per pair of files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from service.config import Settings
from service.core import clock, ids
from service.core.storage import Storage
from service.datasets.contract.tasks import DiffSpec
from service.datasets.contract.versions import (
    CHANGES,
    ENTRY_BYTES,
    INDEX,
    MARK_END_BYTES,
    MARK_ENDS,
    MARKS,
    OTHER_TEXTS,
    TEXTS,
    Change,
    DiffIndex,
    Entry,
    EntryMarks,
    Lineage,
    decode_entries,
    decode_entry_marks,
    decode_mark_ends,
)
from service.datasets.personal_data.marks import Mark, mask_row
from service.files.curation.dataset_process import (
    DatasetProcess,
    DatasetTaskFailed,
    fetch,
    other_file,
)
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.records import Task, TaskKind, Tasks, TaskState, task_on_request
from service.files.curation.rows import (
    OldIndex,
    PersonalDataMode,
    bounded,
    encode_page,
    read_range,
    read_rows,
)
from service.files.records import FileRecord, Files

DIFF = "diff.json"


def diff_task(file: FileRecord, other: FileRecord, recognizers: str | None = None) -> Task:
    """Return the task that compares a file with a later one.

    `recognizers` is the digest of the project's recognizers.
    """
    options = {"other_file": other.id}
    seen = (other.id, other.meaning, recognizers)
    return task_on_request(TaskKind.DIFF, ids.DIFF, file, options, *seen)


class MakeDiff:
    """Runs tasks that compare files."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._recognizers = Recognizers(files.redis)
        self._dataset_process = DatasetProcess(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Store the diff and the index of the rows that differ. Raises DatasetTaskFailed."""
        other = await other_file(self._files, task.project_id, task.options["other_file"], "file")
        out = folder / "out"
        out.mkdir()
        spec = DiffSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            other=await fetch(self._files.storage, other, folder / "other"),
            out=out,
            format=self._dataset_process.format_of(file.read_options),
            other_format=self._dataset_process.format_of(other.read_options),
            stored_rows=file.canonical,
            other_stored_rows=other.canonical,
            lineage=await self._lineage(file, other, folder / "cleaning"),
            recognizers=await self._recognizers.all(task.project_id),
            result=folder / DIFF,
        )
        diff = await self._dataset_process.run(spec)
        spec.result.rename(out / DIFF)
        await self._files.storage.put_folder(task.folder, out)
        numbers = {
            name: getattr(diff, name) for name in ("unchanged", "changed", "removed", "added")
        }
        await self._tasks.finish_stored(task, self._files.storage, numbers)

    async def _lineage(self, file: FileRecord, other: FileRecord, path: Path) -> Lineage | None:
        """Return how a cleaning made the other file from this one; None if that is not known."""
        if other.cleaning is None or other.derived_from != file.id:
            return None
        cleaning = await self._tasks.collection(file.id).get(file.project_id, other.cleaning)
        if cleaning is None or cleaning.state is not TaskState.COMPLETED or cleaning.result is None:
            return None
        if "format" in cleaning.options:  # its diff has the lines of other format options
            return None
        diff = await self._files.get(file.project_id, cleaning.result["diff_file"], clock.now_s())
        if diff is None:
            return None
        try:
            await fetch(self._files.storage, diff, path)
        except DatasetTaskFailed:  # it was just deleted
            return None
        return Lineage(path, is_validation=cleaning.result.get("validation_file") == other.id)


class DiffPage(NamedTuple):
    """A page of rows that differ, as JSON, and the lines of the rows that it shows unmasked."""

    body: bytes
    revealed: list[int]
    revealed_others: list[int]


async def read_diff_rows(
    storage: Storage,
    files: tuple[FileRecord, FileRecord],
    diff: Task,
    *,
    change: Change | None,
    after: int,
    limit: int,
    personal_data: PersonalDataMode,
) -> DiffPage:
    """Return a page of the rows that differ. Raises OldIndex and StorageMissing.

    Memory and time do not depend on the size of the files.
    """
    data = await storage.get_bytes(f"{diff.folder}/{INDEX}")
    index = msgspec.json.decode(data, type=DiffIndex)
    if personal_data == "mask" and not index.has_marks:
        raise OldIndex
    first, end = index.range_of(change)
    start = max(first, after)
    stop = min(end, start + limit)
    entries: Sequence[Entry] = []
    if start < stop:
        key = f"{diff.folder}/{CHANGES}"
        found = await read_range(storage, key, start * ENTRY_BYTES, stop * ENTRY_BYTES)
        entries = bounded(decode_entries(found))
    file, other = files
    keys = (
        f"{diff.folder}/{TEXTS}" if index.has_texts else file.canonical_key,
        f"{diff.folder}/{OTHER_TEXTS}" if index.has_other_texts else other.canonical_key,
    )
    texts = await read_rows(storage, keys[0], [e.row for e in entries if e.row])
    others = await read_rows(storage, keys[1], [e.other for e in entries if e.other])
    marks = [EntryMarks()] * len(entries)
    if personal_data == "mask" and entries:
        marks = await _read_marks(storage, diff.folder, start, start + len(entries))
    has_more = start + len(entries) < end
    body = await asyncio.to_thread(
        _encode, start, entries, marks, (texts, others), has_more=has_more
    )
    if personal_data == "mask":
        return DiffPage(body, [], [])
    return DiffPage(
        body, [e.row.line for e in entries if e.row], [e.other.line for e in entries if e.other]
    )


async def _read_marks(storage: Storage, folder: str, start: int, stop: int) -> list[EntryMarks]:
    """Return the positions of personal data in a range of differences."""
    first = max(start - 1, 0)
    key = f"{folder}/{MARK_ENDS}"
    found = await read_range(storage, key, first * MARK_END_BYTES, stop * MARK_END_BYTES)
    ends = ([] if start else [0]) + decode_mark_ends(found)
    data = b""
    if ends[-1] > ends[0]:
        data = await read_range(storage, f"{folder}/{MARKS}", ends[0], ends[-1])
    return [
        decode_entry_marks(data[begin - ends[0] : end - ends[0]]) for begin, end in pairwise(ends)
    ]


_Texts = dict[int, bytes]


def _encode(
    start: int,
    entries: Sequence[Entry],
    marks: Sequence[EntryMarks],
    texts: tuple[_Texts, _Texts],
    *,
    has_more: bool,
) -> bytes:
    rows = [
        _object(position, entry, found, *texts)
        for position, (entry, found) in enumerate(zip(entries, marks, strict=True), start + 1)
    ]
    return encode_page(rows, has_more=has_more)


def _object(
    position: int, entry: Entry, marks: EntryMarks, texts: _Texts, others: _Texts
) -> dict[str, Any]:
    return {
        "id": str(position),
        "object": "file.diff.row",
        "change": entry.change,
        "line": entry.row and entry.row.line,
        "other_line": entry.other and entry.other.line,
        "row": entry.row and _row(texts[entry.row.line], marks.row),
        "other_row": entry.other and _row(others[entry.other.line], marks.other),
    }


def _row(data: bytes, marks: Sequence[Mark]) -> Any:
    """Return a row with labels in place of the marked parts."""
    if not marks:
        return msgspec.Raw(data.rstrip(b"\n"))
    return mask_row(msgspec.json.decode(data), marks).row
