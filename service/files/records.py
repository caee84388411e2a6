"""Stores file records in Redis, and decides how files are registered, found and deleted.

Storage layout of a file, under `{project}/files/{id}/`:

    content          the bytes as uploaded
    canonical.jsonl  the rows as a trainer reads them, if they differ from the content
    manifest.json    the fields of the record, to rebuild it; without it, the file does not exist
    tasks/           the outputs of reports, previews and comparisons
    reviews/         the rows and notes of reviews

A file is noted in `leftovers` before its bytes are written, until its record is. It is noted again
when its record is deleted, until its bytes are gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

import msgspec
from redis.asyncio.client import Pipeline

from service import __version__
from service.core import clock, ids, metrics, queue
from service.core.leases import Leases
from service.core.records import PREFIX, Also, Collection, Labels, Page, Record, Unreadable
from service.core.redis import REDIS_ERRORS, Client, reply, text
from service.core.storage import Storage, StorageError
from service.core.storage.leftovers import Leftovers
from service.datasets.formats.options import RowFormat
from service.files.task_index import TaskIndex, tasks_of
from service.work.records import Kind, RestartedRecord
from service.work.store import WorkStore

log = logging.getLogger(__name__)

EXPIRING = f"{PREFIX}:files-expiring"  # "project/file", scored by expiration time
_RECORD_WITHIN_S = 24 * 3600  # a file without a record is removed after this time
_DOCUMENT = re.compile(r".\.(?:txt|text|md|markdown)(?:\.(?:gz|zst|bz2|xz))?\Z", re.IGNORECASE)
_TABLE_OPTIONS = {"container", "columns", "delimiter", "header_row", "group_by", "sheet"}


class FileStatus(StrEnum):
    """Processing status of a file."""

    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


class Purpose(StrEnum):
    """Purpose of a file."""

    FINE_TUNE = "fine-tune"
    RESULTS = "fine-tune-results"
    USER_DATA = "user_data"
    EVALS = "evals"
    MODEL_IMPORT = "model-import"
    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


class ReviewLabel(StrEnum):
    """What a reviewer decided on a row."""

    APPROVED = "approved"
    REJECTED = "rejected"
    EDITED = "edited"
    UNSURE = "unsure"


REVIEW_LABELS = tuple(ReviewLabel)
CHECKED = frozenset({Purpose.FINE_TUNE, Purpose.EVALS})  # files that are checked after upload


class FileRecord(RestartedRecord):
    """A file. Its bytes are in storage, and its attempts are those of its check."""

    work = Kind(
        noun="file",
        collection="files",
        function="check_file",
        lane=queue.CPU,
        id_prefix=ids.FILE,
        doing="checked this file",
        interrupted="check_interrupted",
        unfinished="files-unchecked",
    )
    final = frozenset({FileStatus.PROCESSED, FileStatus.ERROR})
    failed = FileStatus.ERROR

    filename: str
    purpose: Purpose
    bytes: int
    sha256: str
    status: FileStatus
    status_details: str | None = None
    expires_at: int | None = None
    key_id: str = ""  # the key that created it; empty in records of versions before 0.3
    format: dict[str, Any] | None = None  # format options given at upload
    derived_from: str | None = None  # ID of the file that a cleaning made it from
    cleaning: str | None = None  # ID of that cleaning
    merged_from: tuple[str, ...] | None = None  # IDs of the files that a merge made it from
    merge: str | None = None  # ID of that merge
    generation: str | None = None  # ID of the generation whose rows it has
    documents: tuple[str, ...] | None = None  # IDs of the files that the rows were made from
    # Results of the check:
    rows: int | None = None
    warnings: int | None = None
    found: dict[str, Any] | None = None  # container, encoding, shape, columns …
    row_format: RowFormat | None = None
    canonical: str | None = None  # sha256 of the canonical rows

    @property
    def folder(self) -> str:
        """The storage prefix of the file."""
        return f"{self.project_id}/files/{self.id}"

    @property
    def content_key(self) -> str:
        """The storage key of the file's content."""
        return f"{self.folder}/content"

    @property
    def canonical_key(self) -> str:
        """The storage key of the canonical rows, which may be the content itself."""
        same = self.canonical == self.sha256
        return self.content_key if same else f"{self.folder}/canonical.jsonl"

    @property
    def read_options(self) -> dict[str, Any] | None:
        """The format options given at upload, and the hint in the file's name."""
        return with_filename_hint(self.format, self.filename)

    @property
    def meaning(self) -> str:
        """Digest of what determines a check's outcome: content, format, purpose and version."""
        parts = [__version__, self.sha256, self.read_options]
        if self.purpose is Purpose.EVALS:
            parts.append(self.purpose)
        encoded = msgspec.json.encode(parts, order="sorted")
        return hashlib.sha256(encoded).hexdigest()

    def give_up(self, code: str, message: str, now_s: int) -> Self:
        """Return the record after a check that failed."""
        return self.model_copy(update={"status": self.failed, "status_details": message})

    def expired(self, now_s: int) -> bool:
        """Return whether the file has expired."""
        return self.expires_at is not None and self.expires_at <= now_s


def with_filename_hint(options: Mapping[str, Any] | None, filename: str) -> dict[str, Any] | None:
    """Return the format options, with a hint if the file has the name of a text document.

    A text file may still be a table or JSON Lines. The hint counts only if the content is neither,
    and is left out if an option is that of a table.
    """
    given = dict(options or {})
    if _DOCUMENT.search(filename) is None or _TABLE_OPTIONS & given.keys():
        return given or None
    return {**given, "is_document": True}


def new_record(
    file_id: str,
    project_id: str,
    *,
    filename: str,
    purpose: Purpose,
    size: int,
    sha256: str,
    expires_after_s: int | None,
    format_: dict[str, object] | None,
    key_id: str = "",
) -> FileRecord:
    """Return the record of a file whose bytes were just received."""
    now_s = clock.now_s()
    return FileRecord(
        id=file_id,
        project_id=project_id,
        created_at=now_s,
        filename=filename,
        purpose=purpose,
        bytes=size,
        sha256=sha256,
        status=FileStatus.UPLOADED if purpose in CHECKED else FileStatus.PROCESSED,
        expires_at=None if expires_after_s is None else now_s + expires_after_s,
        format=format_,
        key_id=key_id,
    )


class CheckOutcome(msgspec.Struct, frozen=True):
    """The outcome of a check. It is `certain` if another check of the same bytes would agree."""

    status: FileStatus
    status_details: str | None = None
    rows: int = 0
    warnings: int = 0
    found: dict[str, Any] | None = None
    row_format: RowFormat | None = None
    canonical: str | None = None
    certain: bool = True

    @classmethod
    def from_record(cls, record: FileRecord) -> Self:
        """Return the outcome of a check that has ended."""
        names = (name for name in cls.__struct_fields__ if name != "certain")
        return cls(**{name: getattr(record, name) for name in names})

    def fields(self) -> dict[str, Any]:
        """Return the record's fields that the outcome sets."""
        return {k: v for k, v in msgspec.structs.asdict(self).items() if k != "certain"}


def reviews_of(file_id: str) -> str:
    """Return the collection of a file's reviews of rows. They are deleted with the file."""
    return f"files:{file_id}:reviews"


def _twins_key(project_id: str) -> str:
    return f"{PREFIX}:{project_id}:files-by-meaning"


class Checks(WorkStore[FileRecord]):
    """The checks of all files."""

    record = FileRecord

    async def find(self, project_id: str, subject: str) -> FileRecord | None:
        """Return the file, or None if it does not exist or has expired."""
        record = await super().find(project_id, subject)
        return None if record is None or record.expired(clock.now_s()) else record

    async def finish(self, own: FileRecord, outcome: CheckOutcome) -> None:
        """Store a check's outcome. Raises AttemptSuperseded and Missing."""

        def also(pipe: Pipeline, after: FileRecord) -> None:
            if outcome.certain:
                pipe.hset(_twins_key(after.project_id), own.meaning, after.id)

        update = outcome.fields()
        await self.change_own(own, lambda current: current.model_copy(update=update), also)
        metrics.FILES_CHECKED.cell(outcome.status).inc()

    async def lose(self, own: FileRecord, most_lost: int) -> FileRecord:
        """Enqueue the next attempt after the worker died, or give up."""
        after = await super().lose(own, most_lost)
        if after.is_final:
            metrics.FILES_CHECKED.cell(after.status).inc()
        return after

    def _is_unfinished(self, record: FileRecord) -> bool:
        return super()._is_unfinished(record) and not record.expired(clock.now_s())


class Files:
    """All files, by project."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self.redis = redis
        self.storage = storage
        self.checks = Checks(redis)
        self.records = self.checks.records
        self._labels = Labels(self.records, lambda file: [file.purpose])
        self._leftovers = Leftovers(redis, "files")
        self._task_index = TaskIndex(redis)

    async def begin(self, project_id: str, file_id: str) -> None:
        """Note a file before its bytes are written, until it is added or discarded.

        Raises QuotaExceeded and RedisFull if there is no room for the record.
        """
        if self.redis.record_use is not None:
            await self.redis.record_use.require(project_id)
        await self._leftovers.noted(f"{project_id}/{file_id}", clock.now_s() + _RECORD_WITHIN_S)

    async def is_deleted(self, project_id: str, file_id: str) -> bool:
        """Return whether a file was deleted whose bytes are not removed yet."""
        noted = await self._leftovers.noted_for(f"{project_id}/{file_id}")
        return noted is not None and noted <= clock.now_s()

    async def discard(self, project_id: str, file_id: str) -> None:
        """Remove the bytes of a file that was not added. If that fails, they are swept later."""
        with contextlib.suppress(*REDIS_ERRORS, StorageError):
            await self._remove(project_id, file_id, f"{project_id}/{file_id}")

    async def add(self, record: FileRecord) -> FileRecord:
        """Register a file whose bytes are in storage. The manifest is written first."""
        await self.put_manifest(record)
        return await self.register(record)

    async def register(self, record: FileRecord) -> FileRecord:
        """Register a file whose bytes and manifest are in storage."""
        return await self.records.create(record, also=lambda pipe: self._note(pipe, record))

    async def put_manifest(self, record: FileRecord) -> None:
        """Write the manifest from which the record can be rebuilt, regardless of the quota."""
        manifest: dict[str, Any] = record.model_dump(mode="json")
        await self.storage.put_bytes(
            f"{record.folder}/manifest.json", msgspec.json.encode(manifest), is_limited=False
        )

    def write_new(self, pipe: Pipeline, record: FileRecord) -> None:
        """Add the commands that register a file to a transaction. See `put_manifest`."""
        self.records.add(pipe, record)
        self._note(pipe, record)

    def write_all_new(self, pipe: Pipeline, records: Sequence[FileRecord]) -> None:
        """Add the commands that register files to a transaction."""
        for record in records:
            self.write_new(pipe, record)

    def _note(self, pipe: Pipeline, record: FileRecord) -> None:
        member = f"{record.project_id}/{record.id}"
        self._labels.add(pipe, record)
        self._leftovers.forget(pipe, member)
        if record.status is FileStatus.UPLOADED:
            pipe.sadd(self.checks.kind.unfinished_key, member)
        if record.expires_at is not None:
            pipe.zadd(EXPIRING, {member: record.expires_at})

    async def get(self, project_id: str, file_id: str, now_s: int) -> FileRecord | None:
        """Return the project's file, or None if it does not exist or has expired."""
        record = await self.records.get(project_id, file_id)
        return None if record is None or record.expired(now_s) else record

    async def page(
        self,
        project_id: str,
        now_s: int,
        *,
        after: str | None,
        limit: int,
        oldest_first: bool,
        purpose: Purpose | None,
    ) -> Page[FileRecord]:
        """Return a page of the project's files that have not expired. Raises Missing."""
        return await self._labels.page(
            project_id,
            [] if purpose is None else [purpose],
            after=after,
            limit=limit,
            where=lambda file: not file.expired(now_s),
            oldest_first=oldest_first,
        )

    async def checked_twin(self, record: FileRecord, now_s: int) -> FileRecord | None:
        """Return a checked file of the project with the same `meaning`, or None."""
        twin_id = await reply(self.redis.hget(_twins_key(record.project_id), record.meaning))
        if twin_id is None:
            return None
        twin = await self.get(record.project_id, text(twin_id), now_s)
        checked = twin is not None and twin.status is not FileStatus.UPLOADED
        return twin if checked else None

    async def writers(self, record: FileRecord) -> list[str]:
        """Return the leases of the check and the tasks that may write to the file's folder."""
        tasks = await self._tasks(record.id).ids(record.project_id)
        return [record.id, *(f"{record.id}/{task_id}" for task_id in tasks)]

    async def delete(self, record: FileRecord, also: Also = lambda _: None) -> None:
        """Delete a file's record, then its bytes. Bytes that cannot be deleted now are swept."""
        member = f"{record.project_id}/{record.id}"
        tasks = self._tasks(record.id)
        task_ids = await tasks.ids(record.project_id)
        writers = [record.id, *(f"{record.id}/{task_id}" for task_id in task_ids)]

        def together(pipe: Pipeline) -> None:
            pipe.srem(self.checks.kind.unfinished_key, member)
            pipe.zrem(EXPIRING, member)
            self._labels.remove(pipe, record)
            # The entry may name a twin. The next such file is then checked again.
            pipe.hdel(_twins_key(record.project_id), record.meaning)
            self._task_index.remove(pipe, record.project_id, record.id, task_ids)
            for writer in writers:
                self._leftovers.note(pipe, f"{record.project_id}/{writer}", clock.now_s())
            also(pipe)

        await self.records.delete(record.project_id, record.id, also=together)
        await tasks.clear(record.project_id)
        await self._clear_reviews(record.project_id, record.id)
        try:
            await self.storage.delete_prefix(record.folder)
        except StorageError as e:
            log.warning("the bytes of a deleted file cannot be removed from storage yet: %s", e)

    async def sweep(self, leases: Leases, now_s: int) -> None:
        """Remove the remains of deleted files, and of files that were never added.

        A check of a deleted file, or a task on it, may still write. The file waits for its lease.
        """
        for name in await self._leftovers.due(now_s):
            project_id, subject = name.split("/", 1)
            file_id = subject.split("/")[0]
            with contextlib.suppress(Unreadable):
                if await self.records.get(project_id, file_id) is not None:
                    await self._leftovers.removed(name)
                elif not await leases.is_held(subject):
                    await self._remove(project_id, file_id, name)

    async def _remove(self, project_id: str, file_id: str, name: str) -> None:
        await self.storage.delete_prefix(f"{project_id}/files/{file_id}")
        tasks = self._tasks(file_id)
        task_ids = await tasks.ids(project_id)  # of those that were created as the file was deleted
        async with self.redis.pipeline(transaction=True) as pipe:
            self._task_index.remove(pipe, project_id, file_id, task_ids)
            await pipe.execute()
        await tasks.clear(project_id)
        await self._clear_reviews(project_id, file_id)
        await self._leftovers.removed(name)

    def _tasks(self, file_id: str) -> Collection[Record]:
        return Collection(self.redis, tasks_of(file_id), Record)

    async def _clear_reviews(self, project_id: str, file_id: str) -> None:
        reviews = Collection(self.redis, reviews_of(file_id), Record)
        index = reviews.index(project_id)
        await reviews.clear(project_id)
        await self.redis.delete(*(f"{index}-{label}" for label in REVIEW_LABELS))

    async def expired(self, now_s: int) -> list[FileRecord]:
        """Return the readable files that have expired."""
        return await self.records.read_expired(EXPIRING, now_s)
