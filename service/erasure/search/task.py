"""The `erase_rows` task: finds rows in all files and stored chats of a project, and erases them.

A file with such rows is replaced by a new file without them, as a cleaning would make it, and is
then deleted. The new file is registered in the transaction that notes it in the search, so that the
next attempt replaces no file twice. Other objects are only scanned (`text_scan.py`).

A file that its child process cannot read is noted in the search. If storage is full, the search
waits, because a completed search must have erased what it found.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from service.config import Settings
from service.core import clock, local_disk
from service.core.errors import Conflict
from service.core.leases import Leases
from service.core.records import Unreadable
from service.core.redis import batched
from service.core.storage import Storage, StorageMissing
from service.datasets.contract.tasks import (
    CleanOptions,
    CleanResult,
    CleanSpec,
    FoundRows,
    RowMatch,
    SearchSpec,
)
from service.erasure.eraser import Eraser
from service.erasure.search.records import (
    FoundChats,
    FoundFile,
    Searches,
    SearchRecord,
    SearchStatus,
)
from service.erasure.search.text_scan import EncodedText, TextScan
from service.files.curation.dataset_process import (
    DatasetProcess,
    DatasetTaskFailed,
    fetch,
)
from service.files.curation.outputs import Output, new_output
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.files.stored_chats.records import StoredChatRecord, StoredChats
from service.work.task import ShortTask, WorkFailed

log = logging.getLogger(__name__)
_CHATS_PER_READ: Final = 64
_MAX_LINES: Final = 1000  # listed for each file
_MAX_PLACES: Final = 1000
_KEEP_DUPLICATES: Final = CleanOptions(exact_duplicates=False)


class _Cancelled(Exception):
    """The search is being cancelled."""


class EraseRows(ShortTask[SearchRecord]):
    """The task of a search for rows."""

    def __init__(self, files: Files, leases: Leases, settings: Settings, eraser: Eraser) -> None:
        self._files = files
        self._searches = Searches(files.redis)
        super().__init__(self._searches, leases)
        self._scratch = settings.scratch
        self._dataset_process = DatasetProcess(settings)
        self._eraser = eraser
        self._text_scan = TextScan(files.redis, files.storage)
        self._stored_chats = StoredChats(files.redis, files.storage)

    async def _work(self, record: SearchRecord) -> None:
        match = await self._searches.match(record)
        if match is None:
            message = "The search waited for a worker for too long. Start it again."
            raise WorkFailed("expired", message)
        try:
            await self._search_files(record, match)
            await self._scan_other_objects(record, match)
        except _Cancelled:
            await self._end(record, SearchStatus.CANCELLED)
        else:
            await self._end(record, SearchStatus.COMPLETED)

    async def _end(self, record: SearchRecord, status: SearchStatus) -> None:
        await self._searches.change_own(record, lambda now: now.end(status, clock.now_s()))

    async def _check_not_cancelled(self, record: SearchRecord) -> None:
        current = await self._searches.find(record.project_id, record.subject)
        if current is not None and current.status is SearchStatus.CANCELLING:
            raise _Cancelled

    def _log_internal(self, record: SearchRecord, error: Exception) -> None:
        # The message of the error may contain the text of the search.
        log.error("%s failed: %s", record.id, type(error).__name__)

    async def _search_files(self, record: SearchRecord, match: RowMatch) -> None:
        replaced = tuple(found for found in record.found if found.new_file or found.is_erased)
        file_ids = await self._files.records.ids(record.project_id)
        new = {found.new_file for found in replaced}
        todo = [file_id for file_id in file_ids if file_id not in new]
        await self._update(record, found=replaced, files_total=len(todo), files_done=0)
        for found in replaced:
            if not found.is_erased:
                await self._erase(record, found)
        await self._check_not_cancelled(record)
        await self._search_chats(record, match)
        for done, file_id in enumerate(todo, 1):
            await self._check_not_cancelled(record)
            try:
                file = await self._files.get(record.project_id, file_id, clock.now_s())
            except Unreadable:
                file = None
            if file is not None:
                await self._search_file(record, file, match)
            await self._update(record, files_done=done)

    async def _scan_other_objects(self, record: SearchRecord, match: RowMatch) -> None:
        await self._check_not_cancelled(record)
        places = await self._text_scan.find(record.project_id, match)
        await self._update(record, places=tuple(places[:_MAX_PLACES]))

    async def _search_chats(self, record: SearchRecord, match: RowMatch) -> None:
        """Search stored chats. They are noted before they are deleted, for the next attempt."""
        before = record.chats or FoundChats(matches=0)
        try:
            chats = await self._find_chats(record, match)
        except DatasetTaskFailed as e:
            log.warning("stored chats cannot be searched: %s", e.code)
            await self._update(record, chats=before.model_copy(update={"error": e.message}))
            return
        chat_ids = (*dict.fromkeys((*before.ids, *(chat.id for chat in chats))),)
        found = FoundChats(matches=max(before.matches, len(chat_ids)), ids=chat_ids[:_MAX_LINES])
        await self._update(record, chats=found)
        if record.apply and found.matches:
            await self._check_not_cancelled(record)
            await self._stored_chats.delete(chats)
            await self._update(record, chats=found.model_copy(update={"is_erased": True}))

    async def _find_chats(self, record: SearchRecord, match: RowMatch) -> list[StoredChatRecord]:
        """Return the stored chats whose row or metadata matches. Raises DatasetTaskFailed."""
        chats = await self._stored_chats.list_all(record.project_id)
        if not chats:
            return []
        async with local_disk.claimed(self._scratch / f"{record.id}-chats") as folder:
            written = await self._write_chats(chats, folder / "content")
            spec = SearchSpec(
                path=folder / "content",
                result=folder / "found.json",
                match=match,
                format=self._dataset_process.format_of(None),
            )
            lines = set((await self._dataset_process.run(spec)).lines) if written else set()
        matching = {chat.id for line, chat in enumerate(written, 1) if line in lines}
        sought = EncodedText(match)
        return [
            chat
            for chat in chats
            if chat.id in matching or sought.is_in(msgspec.json.encode(chat.metadata))
        ]

    async def _write_chats(
        self, chats: Sequence[StoredChatRecord], path: Path
    ) -> list[StoredChatRecord]:
        """Write the rows of chats to a file, and return the chats that are in it."""
        written = []
        with path.open("wb") as sink:
            for some in batched(chats, _CHATS_PER_READ):
                for record, chat in await self._stored_chats.read_all(some):
                    sink.write(msgspec.json.encode(chat.row) + b"\n")
                    written.append(record)
        return written

    async def _search_file(self, record: SearchRecord, file: FileRecord, match: RowMatch) -> None:
        try:
            async with local_disk.claimed(self._scratch / f"{record.id}-{file.id}") as folder:
                if file.purpose is Purpose.FINE_TUNE and file.status is FileStatus.PROCESSED:
                    await self._search_rows(record, file, match, folder)
                elif await _contains(self._files.storage, file, match):
                    name = _name_of(file, match)
                    found = FoundFile(file_id=file.id, filename=name, purpose=file.purpose)
                    await self._note(record, found)
        except DatasetTaskFailed as e:
            log.warning("%s cannot be searched: %s", file.id, e.code)
            await self._searches.change_own(
                record,
                lambda now: now.model_copy(
                    update={"unreadable_files": (*now.unreadable_files, file.id)}
                ),
            )

    async def _search_rows(
        self, record: SearchRecord, file: FileRecord, match: RowMatch, folder: Path
    ) -> None:
        path = await fetch(self._files.storage, file, folder / "content")
        file_format = self._dataset_process.format_of(file.read_options)
        rows = await self._dataset_process.run(
            SearchSpec(path=path, result=folder / "found.json", match=match, format=file_format)
        )
        if not rows.lines:
            return
        found = FoundFile(
            file_id=file.id,
            filename=_name_of(file, match),
            purpose=file.purpose,
            rows=rows.rows,
            matches=len(rows.lines),
            lines=tuple(rows.lines[:_MAX_LINES]),
            models=tuple(await self._eraser.models_of(file)),
        )
        if not record.apply:
            await self._note(record, found)
            return
        try:
            await self._eraser.check(file, cascade=record.cascade)
        except Conflict as e:
            await self._note(record, found.model_copy(update={"error": e.message}))
            return
        await self._replace(record, file, found, rows, folder)

    async def _replace(
        self,
        record: SearchRecord,
        file: FileRecord,
        found: FoundFile,
        rows: FoundRows,
        folder: Path,
    ) -> None:
        if len(rows.lines) < rows.rows:
            cleaned = await self._clean(file, rows.lines, folder)
            output = _new_version(file, cleaned, found.filename)
            new = output.record
            await self._files.begin(new.project_id, new.id)
            await self._files.storage.put_file(new.content_key, output.path)
            await self._files.put_manifest(new)
            found = found.model_copy(update={"new_file": new.id})
            await self._searches.change_own(
                record,
                lambda now: _with(now, found),
                also=lambda pipe, _: self._files.write_new(pipe, new),
            )
        else:
            await self._note(record, found)
        await self._erase(record, found)

    async def _clean(self, file: FileRecord, lines: Sequence[int], folder: Path) -> CleanResult:
        decisions = folder / "decisions.jsonl"
        dropped = (json.dumps({"line": line, "action": "drop"}) for line in lines)
        decisions.write_text("\n".join(dropped))
        return await self._dataset_process.run(
            CleanSpec(
                path=folder / "content",
                out=folder / "out",
                result=folder / "cleaned.json",
                format=self._dataset_process.format_of(file.read_options),
                options=_KEEP_DUPLICATES,
                decisions=decisions,
            )
        )

    async def _erase(self, record: SearchRecord, found: FoundFile) -> None:
        """Delete the old version of a file."""
        file = await self._files.records.get(record.project_id, found.file_id)
        update: dict[str, Any] = {"is_erased": True, "filename": found.file_id}
        if file is not None:
            try:
                gone = await self._eraser.erase_file(file, record.key_id, cascade=record.cascade)
            except Conflict as e:
                update = {"error": e.message}
            else:
                update |= {
                    "receipts": tuple(gone.receipts),
                    "deleted_models": tuple(gone.deleted_models),
                    "models": tuple(gone.models),
                }
        await self._note(record, found.model_copy(update=update))

    async def _note(self, record: SearchRecord, found: FoundFile) -> None:
        await self._searches.change_own(record, lambda now: _with(now, found))

    async def _update(self, record: SearchRecord, **fields: Any) -> None:
        await self._searches.change_own(record, lambda now: now.model_copy(update=fields))


def _with(record: SearchRecord, found: FoundFile) -> SearchRecord:
    others = (one for one in record.found if one.file_id != found.file_id)
    return record.model_copy(update={"found": (*others, found)})


def _new_version(file: FileRecord, cleaned: CleanResult, name: str) -> Output:
    """Return the file without the rows."""
    return new_output(
        file.project_id,
        cleaned.train,
        f"{name.split('.', 1)[0] or file.id}.erased.jsonl",
        expires_at=file.expires_at,
        row_format=cleaned.source.facts.row_format,
        derived_from=file.id,
    )


async def _contains(storage: Storage, file: FileRecord, match: RowMatch) -> bool:
    """Return whether the content of a file contains the text."""
    if match.kind == "row_sha256":
        return False
    try:
        return await EncodedText(match).is_in_stream(await storage.stream(file.content_key))
    except StorageMissing:
        return False


def _name_of(file: FileRecord, match: RowMatch) -> str:
    """Return the name of a file, or its ID if the name contains the text."""
    return file.id if EncodedText(match).is_in(file.filename.encode()) else file.filename
