"""The `erase_rows` task: finds rows in all files and stored chats of a project, and erases them.

A file with rows to erase is replaced by a new file without them, as a cleaning would make it, and
is then deleted. A new file is registered in the transaction that notes it in the search, so a task
that starts again replaces no file twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from service.config import Settings
from service.core import ids
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
from service.datasets.formats.options import canonical_facts
from service.erasure.eraser import Eraser
from service.erasure.search.places import PlaceSearch, Texts
from service.erasure.search.records import (
    FoundChats,
    FoundFile,
    Searches,
    SearchRecord,
    SearchStatus,
)
from service.files.curation.child_runner import Desk, DeskFailed
from service.files.curation.scratch import fetch, scratch_folder
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.files.stored_chats.records import CaptureRecord, Captures
from service.work.task import ShortTask, WorkFailed

_AT_ONCE = 64


class StoredChats:
    """Finds stored chats as rows of files are found, and in their metadata."""

    def __init__(self, captures: Captures, desk: Desk, scratch: Path) -> None:
        self._captures = captures
        self._desk = desk
        self._scratch = scratch

    async def find(self, project_id: str, search_id: str, match: RowMatch) -> list[CaptureRecord]:
        """Return the chats that match. Raises DeskFailed and StorageError."""
        records = await self._captures.every(project_id)
        if not records:
            return []
        async with scratch_folder(self._scratch / f"{search_id}-chats") as folder:
            written = await self._write(records, folder / "content")
            spec = SearchSpec(
                path=folder / "content",
                result=folder / "found.json",
                match=match,
                format=self._desk.format_of(None),
            )
            lines = set((await self._desk.run(spec)).lines) if written else set()
        said = {record.id for line, record in enumerate(written, 1) if line in lines}
        texts = Texts(match)
        return [r for r in records if r.id in said or _is_described(r, texts)]

    async def _write(self, records: Sequence[CaptureRecord], path: Path) -> list[CaptureRecord]:
        """Write the rows of chats to a file, and return those that are in it."""
        written = []
        with path.open("wb") as sink:
            for some in batched(records, _AT_ONCE):
                for record, chat in await self._captures.read_all(some):
                    sink.write(msgspec.json.encode(chat.row) + b"\n")
                    written.append(record)
        return written

    async def delete(self, project_id: str, chat_ids: Sequence[str]) -> None:
        """Delete chats. Those that are gone are skipped."""
        records = await self._captures.records.get_many(project_id, chat_ids)
        await self._captures.delete(records)


def _is_described(record: CaptureRecord, texts: Texts) -> bool:
    """Whether the metadata of a chat has a text."""
    return texts.are_in(msgspec.json.encode(record.metadata))


log = logging.getLogger(__name__)
MAX_LINES: Final = 1000  # that the search lists of a file
MAX_PLACES: Final = 1000
_ONLY_THESE: Final = CleanOptions(exact_duplicates=False)


class EraseRows(ShortTask[SearchRecord]):
    """Runs searches."""

    def __init__(self, files: Files, leases: Leases, settings: Settings, eraser: Eraser) -> None:
        self._files = files
        self._searches = Searches(files.redis)
        super().__init__(self._searches, leases)
        self._scratch = settings.scratch
        self._desk = Desk(settings)
        self._eraser = eraser
        self._places = PlaceSearch(files.redis, files.storage)
        captures = Captures(files.redis, files.storage)
        self._chats = StoredChats(captures, self._desk, self._scratch)

    async def _work(self, record: SearchRecord) -> None:
        match = await self._searches.match(record)
        if match is None:
            message = "The search waited for a worker for too long. Start it again."
            raise WorkFailed("expired", message)
        await self._every_file(record, match)
        await self._elsewhere(record, match)
        await self._searches.change_own(
            record, lambda now: now.end(SearchStatus.COMPLETED, ids.now_s())
        )

    def _log_internal(self, record: SearchRecord, error: Exception) -> None:
        # The text of the error may have what is looked for.
        log.error("%s failed: %s", record.id, type(error).__name__)

    async def _every_file(self, record: SearchRecord, match: RowMatch) -> None:
        replaced = tuple(found for found in record.found if found.new_file or found.is_erased)
        file_ids = await self._files.records.ids(record.project_id)
        ours = {found.new_file for found in replaced}
        todo = [file_id for file_id in file_ids if file_id not in ours]
        begun = {"found": replaced, "files_total": len(todo), "files_done": 0}
        await self._searches.change_own(record, lambda now: now.model_copy(update=begun))
        await self._every_chat(record, match)
        for found in replaced:
            if not found.is_erased:
                await self._erase(record, found)
        for done, file_id in enumerate(todo, 1):
            try:
                file = await self._files.get(record.project_id, file_id, ids.now_s())
            except Unreadable:
                file = None
            if file is not None:
                await self._one_file(record, file, match)
            await self._searches.change_own(
                record,
                lambda now, done=done: now.model_copy(update={"files_done": done}),  # type: ignore[misc]
            )

    async def _elsewhere(self, record: SearchRecord, match: RowMatch) -> None:
        places = await self._places.find(record.project_id, match)
        update = {"places": tuple(places[:MAX_PLACES])}
        await self._searches.change_own(record, lambda now: now.model_copy(update=update))

    async def _every_chat(self, record: SearchRecord, match: RowMatch) -> None:
        """Find stored chats. They are noted before they are deleted, for an attempt after this."""
        before = record.chats or FoundChats(matches=0)
        try:
            chats = await self._chats.find(record.project_id, record.id, match)
        except DeskFailed as e:
            log.warning("stored chats cannot be searched: %s", e.code)
            await self._note_chats(record, before.model_copy(update={"error": e.message}))
            return
        every = (*dict.fromkeys((*before.ids, *(chat.id for chat in chats))),)
        found = FoundChats(matches=max(before.matches, len(every)), ids=every[:MAX_LINES])
        await self._note_chats(record, found)
        if record.apply and found.matches:
            await self._chats.delete(record.project_id, [chat.id for chat in chats])
            await self._note_chats(record, found.model_copy(update={"is_erased": True}))

    async def _note_chats(self, record: SearchRecord, found: FoundChats) -> None:
        await self._searches.change_own(record, lambda now: now.model_copy(update={"chats": found}))

    async def _one_file(self, record: SearchRecord, file: FileRecord, match: RowMatch) -> None:
        try:
            async with scratch_folder(self._scratch / f"{record.id}-{file.id}") as folder:
                if file.purpose is Purpose.FINE_TUNE and file.status is FileStatus.PROCESSED:
                    await self._rows_of(record, file, match, folder)
                elif await _contains(self._files.storage, file, match):
                    name = _name_of(file, match)
                    found = FoundFile(file_id=file.id, filename=name, purpose=file.purpose)
                    await self._note(record, found)
        except DeskFailed as e:
            log.warning("%s cannot be searched: %s", file.id, e.code)
            await self._searches.change_own(
                record,
                lambda now: now.model_copy(
                    update={"unreadable_files": (*now.unreadable_files, file.id)}
                ),
            )

    async def _rows_of(
        self, record: SearchRecord, file: FileRecord, match: RowMatch, folder: Path
    ) -> None:
        path = await fetch(self._files.storage, file, folder / "content")
        file_format = self._desk.format_of(file.format)
        rows = await self._desk.run(
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
            lines=tuple(rows.lines[:MAX_LINES]),
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
            cleaned = await self._cleaned(file, rows.lines, folder)
            new = _new_version(file, cleaned, found.filename)
            await self._files.begin(new.project_id, new.id)
            await self._files.storage.put_file(new.content_key, Path(cleaned.train.path))
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

    async def _cleaned(self, file: FileRecord, lines: Sequence[int], folder: Path) -> CleanResult:
        decisions = folder / "decisions.jsonl"
        dropped = (json.dumps({"line": line, "action": "drop"}) for line in lines)
        decisions.write_text("\n".join(dropped))
        return await self._desk.run(
            CleanSpec(
                path=folder / "content",
                out=folder / "out",
                result=folder / "cleaned.json",
                format=self._desk.format_of(file.format),
                options=_ONLY_THESE,
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
                update |= {"receipts": gone.receipts, "deleted_models": gone.deleted_models}
                update |= {"models": gone.models}
        await self._note(record, found.model_copy(update=_frozen(update)))

    async def _note(self, record: SearchRecord, found: FoundFile) -> None:
        await self._searches.change_own(record, lambda now: _with(now, found))


def _with(record: SearchRecord, found: FoundFile) -> SearchRecord:
    others = (one for one in record.found if one.file_id != found.file_id)
    return record.model_copy(update={"found": (*others, found)})


def _frozen(update: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in update.items()}


def _new_version(file: FileRecord, cleaned: CleanResult, name: str) -> FileRecord:
    """The file without the rows. Its rows are canonical, and already valid."""
    train, row_format = cleaned.train, cleaned.source.facts.row_format
    stem = name.split(".", 1)[0] or file.id
    return FileRecord(
        id=ids.new(ids.FILE),
        project_id=file.project_id,
        created_at=ids.now_s(),
        filename=f"{stem}.erased.jsonl",
        purpose=file.purpose,
        bytes=train.bytes,
        sha256=train.sha256,
        status=FileStatus.PROCESSED,
        expires_at=file.expires_at,
        rows=train.rows,
        derived_from=file.id,
        row_format=row_format,
        found=msgspec.to_builtins(canonical_facts(train.bytes, row_format)),
        canonical=train.sha256,
    )


async def _contains(storage: Storage, file: FileRecord, match: RowMatch) -> bool:
    """Whether the bytes of a file contain the text."""
    if match.kind == "row_sha256":
        return False
    try:
        return await Texts(match).are_in_stream(await storage.stream(file.content_key))
    except StorageMissing:
        return False


def _name_of(file: FileRecord, match: RowMatch) -> str:
    """The name of a file, or its ID if the name has the text."""
    return file.id if Texts(match).are_in(file.filename.encode()) else file.filename
