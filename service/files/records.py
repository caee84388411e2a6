"""Files as Redis keeps them.

Storage, per file: `{project}/files/{id}/content`, the bytes as they came, and
`manifest.json` beside them, written last: what is needed to rebuild the record.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline

from service.core.records import PREFIX, Collection, Record
from service.core.redis import reply, text
from service.core.storage import Storage

EXPIRING = f"{PREFIX}:files-expiring"  # "project/file", scored by the time they expire
UNCHECKED = f"{PREFIX}:files-unchecked"  # "project/file" of files that wait for their check


class FileStatus(StrEnum):
    """Where a file is on its way."""

    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


class Purpose(StrEnum):
    """What a file is for."""

    FINE_TUNE = "fine-tune"
    RESULTS = "fine-tune-results"
    USER_DATA = "user_data"


class FileRecord(Record):
    """A file; its bytes are in storage."""

    filename: str
    purpose: Purpose
    bytes: int
    sha256: str
    status: FileStatus
    status_details: str | None = None
    expires_at: int | None = None
    rows: int | None = None  # what the check counted
    attempt: int = 1  # of the check

    @property
    def folder(self) -> str:
        """The prefix of all that storage keeps of this file."""
        return f"{self.project_id}/files/{self.id}"

    @property
    def content_key(self) -> str:
        """Where the bytes are."""
        return f"{self.folder}/content"

    def expired(self, now_s: int) -> bool:
        """Whether the file's time is over."""
        return self.expires_at is not None and self.expires_at <= now_s


class Files:
    """All files, by project."""

    def __init__(self, redis: ArqRedis, storage: Storage) -> None:
        self.redis = redis
        self.storage = storage
        self.records = Collection(redis, "files", FileRecord)

    async def add(self, record: FileRecord) -> FileRecord:
        """Make a file known whose bytes are in storage; its manifest is written first."""
        manifest: dict[str, Any] = record.model_dump(mode="json")
        await self.storage.put_bytes(
            f"{record.folder}/manifest.json", msgspec.json.encode(manifest)
        )
        member = f"{record.project_id}/{record.id}"

        def also(pipe: Pipeline) -> None:
            if record.status is FileStatus.UPLOADED:
                pipe.sadd(UNCHECKED, member)
            if record.expires_at is not None:
                pipe.zadd(EXPIRING, {member: record.expires_at})

        return await self.records.create(record, also=also)

    async def get(self, project_id: str, file_id: str, now_s: int) -> FileRecord | None:
        """The project's file, unless its time is over."""
        record = await self.records.get(project_id, file_id)
        return None if record is None or record.expired(now_s) else record

    async def finish_check(
        self, record: FileRecord, status: FileStatus, *, rows: int, details: str | None
    ) -> None:
        """Write a check's outcome, if this attempt is still the current one."""

        def change(current: FileRecord) -> FileRecord:
            if current.attempt != record.attempt or current.status is not FileStatus.UPLOADED:
                return current
            return current.model_copy(
                update={"status": status, "rows": rows, "status_details": details}
            )

        await self.records.update(
            record.project_id,
            record.id,
            change,
            also=lambda pipe, _: pipe.srem(UNCHECKED, f"{record.project_id}/{record.id}"),
        )

    async def delete(self, record: FileRecord) -> None:
        """Remove a file's bytes, then forget it: a delete cut short can be asked again."""
        member = f"{record.project_id}/{record.id}"

        def also(pipe: Pipeline) -> None:
            pipe.srem(UNCHECKED, member)
            pipe.zrem(EXPIRING, member)

        await self.storage.delete_prefix(record.folder)
        await self.records.delete(record.project_id, record.id, also=also)

    async def delete_expired(self, now_s: int) -> int:
        """Delete every file whose time is over; how many there were."""
        members = await reply(self.redis.zrangebyscore(EXPIRING, "-inf", now_s))
        for member in members:
            project_id, file_id = text(member).split("/", 1)
            record = await self.records.get(project_id, file_id)
            if record is None:
                await reply(self.redis.zrem(EXPIRING, member))
            else:
                await self.delete(record)
        return len(members)
