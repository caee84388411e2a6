"""Stores the outputs of tasks: files of cleanings and merges, and adapters of imports.

Outputs are stored before the transaction that registers them. A worker that dies in between leaves
bytes that belong to no record, under IDs that the next attempt does not use. Each output is
therefore noted in Redis before its bytes are written. The note is removed when the output is
registered or its bytes are deleted. `sweep` deletes outputs whose worker did neither.

    finetuned:curation-outputs    set: "project/source file/task/attempt/output"
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.leases import Leases
from service.core.records import PREFIX, Missing, Unreadable
from service.core.redis import reply, text
from service.core.storage import Manifest
from service.datasets.formats.options import RowFormat, canonical_facts
from service.datasets.output import OutputFile
from service.files.curation.records import Task, Tasks, TaskState
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.work.records import AttemptSuperseded

log = logging.getLogger(__name__)

NOTED = f"{PREFIX}:curation-outputs"


class Output(msgspec.Struct, frozen=True):
    """An output file on the worker's disk, and the record to register it with."""

    record: FileRecord
    path: Path


def new_output(
    project_id: str,
    written: OutputFile,
    filename: str,
    *,
    expires_at: int | None,
    row_format: RowFormat | None = None,
    **origin: Any,
) -> Output:
    """Return a file that a task wrote, with the record to register it with.

    With a `row_format`, it has canonical rows, which are valid, and can be trained on. `origin` has
    the fields of the record that name the sources of the file.
    """
    rows: dict[str, Any] = {"purpose": Purpose.USER_DATA}
    if row_format is not None:
        found = msgspec.to_builtins(canonical_facts(written.bytes, row_format))
        rows = {"purpose": Purpose.FINE_TUNE, "row_format": row_format, "found": found}
        rows["canonical"] = written.sha256
    record = FileRecord(
        id=ids.new(ids.FILE),
        project_id=project_id,
        created_at=clock.now_s(),
        filename=filename,
        bytes=written.bytes,
        sha256=written.sha256,
        status=FileStatus.PROCESSED,
        expires_at=expires_at,
        rows=written.rows,
        **rows,
        **origin,
    )
    return Output(record, Path(written.path))


class StoredAdapter(msgspec.Struct, frozen=True):
    """An adapter in storage: its ID, its folder and the folder's manifest."""

    id: str
    folder: str
    manifest: Manifest


class _Note(msgspec.Struct, frozen=True):
    """The output of one attempt at a task, as noted in Redis."""

    project_id: str
    source_id: str
    task_id: str
    attempt: int
    output_id: str  # of a file or an adapter

    @classmethod
    def for_output(cls, task: Task, output_id: str) -> _Note:
        return cls(task.project_id, task.file_id, task.id, task.attempt, output_id)

    @classmethod
    def parse(cls, member: str) -> _Note:
        project_id, source_id, task_id, attempt, output_id = member.split("/")
        return cls(project_id, source_id, task_id, int(attempt), output_id)

    def may_be_registered(self, task: Task) -> bool:
        """Return whether the attempt that stored the output can still complete its task."""
        return task.attempt == self.attempt and task.state is TaskState.IN_PROGRESS

    @property
    def member(self) -> str:
        parts = (self.project_id, self.source_id, self.task_id, str(self.attempt), self.output_id)
        return "/".join(parts)

    @property
    def folder(self) -> str:
        kind = "adapters" if self.output_id.startswith(ids.ADAPTER) else "files"
        return f"{self.project_id}/{kind}/{self.output_id}"


class Outputs:
    """Stores the outputs of tasks, and deletes those that are never registered."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._redis = files.redis

    async def store(self, task: Task, outputs: Iterable[Output]) -> None:
        """Write the bytes and manifests of the outputs. Deletes them on an error."""
        outputs = list(outputs)
        members = [_Note.for_output(task, output.record.id).member for output in outputs]
        await reply(self._redis.sadd(NOTED, *members))
        try:
            for output in outputs:
                await self._files.storage.put_file(output.record.content_key, output.path)
                await self._files.put_manifest(output.record)
        except BaseException:
            await self._discard(task, [output.record.id for output in outputs])
            raise

    def register(self, pipe: Pipeline, task: Task, outputs: Iterable[Output]) -> None:
        """Add the commands that register the outputs as files to a transaction."""
        for output in outputs:
            self._files.write_new(pipe, output.record)
            pipe.srem(NOTED, _Note.for_output(task, output.record.id).member)

    async def finish(self, task: Task, result: dict[str, Any], outputs: Sequence[Output]) -> None:
        """Store the outputs, then register them and complete the task in one transaction.

        Raises AttemptSuperseded, and Missing if the task's file was deleted.
        """
        await self.store(task, outputs)

        def also(pipe: Pipeline) -> None:
            self.register(pipe, task, outputs)

        async with self.registering(task, *(output.record.id for output in outputs)):
            await self._tasks.finish(task, result=result, also=also)

    @contextlib.asynccontextmanager
    async def registering(self, task: Task, *output_ids: str) -> AsyncIterator[None]:
        """Delete the bytes of the outputs if the block can no longer register them."""
        try:
            yield
        except (Missing, AttemptSuperseded):
            await self._discard(task, output_ids)
            raise
        except BaseException:
            # Redis may have committed the transaction, or may still do so: the files may be in use.
            log.warning("%s: unknown whether it ended, so its files are kept for now", task.id)
            raise

    async def _discard(self, task: Task, output_ids: Iterable[str]) -> None:
        for output_id in output_ids:
            await self._delete(_Note.for_output(task, output_id))

    async def store_adapter(
        self, task: Task, path: Path, *, meta: dict[str, Any], only: Callable[[str], bool]
    ) -> StoredAdapter:
        """Write the files in `path` that `only` accepts as an adapter. Deletes it on an error."""
        note = _Note.for_output(task, ids.new(ids.ADAPTER))
        await reply(self._redis.sadd(NOTED, note.member))
        try:
            manifest = await self._files.storage.put_folder(note.folder, path, meta=meta, only=only)
        except BaseException:
            await self._delete(note)
            raise
        return StoredAdapter(note.output_id, note.folder, manifest)

    def register_adapter(self, pipe: Pipeline, task: Task, adapter: StoredAdapter) -> None:
        """Remove the note of an adapter in the transaction that registers its model."""
        pipe.srem(NOTED, _Note.for_output(task, adapter.id).member)

    async def sweep(self, leases: Leases, patience_s: float) -> int:
        """Delete the outputs of attempts that ended without registering them; return their number.

        An attempt has ended if its task has ended or is in another attempt, and no worker has held
        the task's lease for `patience_s`.
        """
        swept = 0
        for member in await reply(self._redis.smembers(NOTED)):
            note = _Note.parse(text(member))
            with contextlib.suppress(Unreadable):
                if await self._is_abandoned(note, leases, patience_s):
                    await self._delete(note)
                    swept += 1
        return swept

    async def _is_abandoned(self, note: _Note, leases: Leases, patience_s: float) -> bool:
        task = await self._tasks.collection(note.source_id).get(note.project_id, note.task_id)
        if task is not None and note.may_be_registered(task):
            return False
        subject = f"{note.source_id}/{note.task_id}"
        if await leases.unheld_s(subject, note.attempt) < patience_s:
            return False
        # Read last: the attempt is over, so an output that is not registered now never will be.
        return bool(await reply(self._redis.sismember(NOTED, note.member)))

    async def _delete(self, note: _Note) -> None:
        await self._files.storage.delete_prefix(note.folder)
        await reply(self._redis.srem(NOTED, note.member))
