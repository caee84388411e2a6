"""Stores uploads and their parts in Redis.

Storage per upload: `{project}/uploads/{id}/{part id}` holds the bytes of each part.

    finetuned:{project}:uploads:{id}         the upload
    finetuned:{project}:uploads:{id}:parts   hash: part id → part as JSON
    finetuned:{project}:uploads:{id}:files   set: ids of files being joined from it
    finetuned:{project}:uploads-pending      pending uploads, scored by expiration time
    finetuned:uploads-due                    "project/upload", scored by the next sweep time

All state is in Redis and storage, so each part may arrive at another replica of the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.errors import BadRequest, Conflict, LimitReached
from service.core.records import PREFIX, Collection, Missing, Record, Unreadable, parse_known
from service.core.redis import Client, reply, text
from service.files.records import FileRecord, Files, Purpose

DUE = f"{PREFIX}:uploads-due"
LIFETIME_S = 3600
MAX_PARTS = 10_000
_KEPT_S = 24 * 3600  # of the record of an ended upload, for clients that retry


class UploadStatus(StrEnum):
    """Status of an upload; all but `pending` are final."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class UploadRecord(Record):
    """A file sent in parts. `bytes` is the size declared by the client."""

    filename: str
    purpose: Purpose
    bytes: int
    mime_type: str
    expires_at: int
    file_expires_after_s: int | None = None
    format: dict[str, Any] | None = None
    key_id: str = ""  # the key that created it; empty in records of versions before 0.3
    status: UploadStatus = UploadStatus.PENDING
    ended_at: int | None = None
    parts: int = 0
    received_bytes: int = 0  # of all parts, including parts sent again
    part_ids: tuple[str, ...] = ()  # parts that form the file
    file_id: str | None = None

    @property
    def folder(self) -> str:
        """The storage prefix of the parts."""
        return f"{self.project_id}/uploads/{self.id}"

    @property
    def member(self) -> str:
        """The upload's member name in sets that span all projects."""
        return f"{self.project_id}/{self.id}"

    def end(self, status: UploadStatus, now_s: int) -> UploadRecord:
        """Return the record with a final status. Raises Conflict if it has already ended."""
        require_pending(self)
        return self.model_copy(update={"status": status, "ended_at": now_s})


class PartRecord(Record):
    """A part whose bytes are in storage. `number` is its position in order of arrival."""

    upload_id: str
    bytes: int
    md5: str
    number: int = 0


def part_key(upload: UploadRecord, part_id: str) -> str:
    """Return the storage key of a part."""
    return f"{upload.folder}/{part_id}"


def require_pending(upload: UploadRecord) -> None:
    """Raise Conflict if an upload has ended."""
    if upload.status is not UploadStatus.PENDING:
        raise Conflict(
            f"This upload is {upload.status}: only a pending upload accepts parts and can be "
            f"completed or cancelled. Create a new upload.",
            param="upload_id",
        )


class Uploads:
    """All uploads, by project."""

    def __init__(self, redis: Client, files: Files) -> None:
        self.redis = redis
        self.files = files
        self.storage = files.storage
        self.records = Collection(redis, "uploads", UploadRecord)

    def _key(self, upload: UploadRecord, what: str) -> str:
        return f"{self.records.key(upload.project_id, upload.id)}:{what}"

    async def create(self, upload: UploadRecord) -> UploadRecord:
        """Register a new upload."""

        def also(pipe: Pipeline) -> None:
            pipe.zadd(DUE, {upload.member: upload.expires_at})
            pipe.zadd(_pending(upload.project_id), {upload.id: upload.expires_at})

        return await self.records.create(upload, also=also)

    async def get(self, project_id: str, upload_id: str, now_s: int) -> UploadRecord | None:
        """Return the project's upload. It is expired as soon as it is overdue, before the sweep."""
        upload = await self.records.get(project_id, upload_id)
        if upload and upload.status is UploadStatus.PENDING and upload.expires_at <= now_s:
            return upload.end(UploadStatus.EXPIRED, upload.expires_at)
        return upload

    async def pending(self, project_id: str, now_s: int) -> int:
        """Return the number of the project's pending uploads."""
        return int(await self.redis.zcount(_pending(project_id), f"({now_s}", "+inf"))

    async def file_of(self, upload: UploadRecord) -> FileRecord | None:
        """Return the resulting file, or None if there is none or it was deleted."""
        if upload.file_id is None:
            return None
        return await self.files.get(upload.project_id, upload.file_id, clock.now_s())

    async def parts(self, upload: UploadRecord) -> list[PartRecord]:
        """Return the upload's parts, in order of arrival."""
        found = await reply(self.redis.hgetall(self._key(upload, "parts")))
        parts = parse_known(PartRecord, ((text(i), raw) for i, raw in found.items()))
        return sorted(parts, key=lambda p: p.number)

    async def add_part(
        self, upload: UploadRecord, part: PartRecord, *, most_bytes: int
    ) -> PartRecord:
        """Register a part whose bytes are in storage.

        Raises BadRequest if all parts together exceed `most_bytes`, Conflict if there are too many
        parts or the upload has ended, and Missing if the upload no longer exists.
        """

        def change(current: UploadRecord) -> UploadRecord:
            require_pending(current)
            require_room(current, part.bytes, most_bytes)
            return current.model_copy(
                update={
                    "parts": current.parts + 1,
                    "received_bytes": current.received_bytes + part.bytes,
                }
            )

        def number(current: UploadRecord) -> PartRecord:
            return part.model_copy(update={"number": current.parts})

        after = await self.records.update(
            upload.project_id,
            upload.id,
            change,
            also=lambda pipe, current: pipe.hset(
                self._key(upload, "parts"), part.id, number(current).model_dump_json()
            ),
        )
        return number(after)

    async def begin_file(self, upload: UploadRecord, file_id: str) -> None:
        """Note a file before its bytes are written, so that the sweep finds it after a crash."""
        await reply(self.redis.sadd(self._key(upload, "files"), file_id))

    async def complete(
        self, upload: UploadRecord, part_ids: Sequence[str], file: FileRecord, now_s: int
    ) -> UploadRecord:
        """Complete the upload and register its file, in one transaction.

        Raises Conflict if the upload has ended, and Missing if it no longer exists. In both
        cases, nothing is written.
        """

        def also(pipe: Pipeline, current: UploadRecord) -> None:
            self.files.write_new(pipe, file)
            pipe.srem(self._key(upload, "files"), file.id)
            self._sweep_at(pipe, current, now_s)

        return await self.records.update(
            upload.project_id,
            upload.id,
            lambda current: current.end(UploadStatus.COMPLETED, now_s).model_copy(
                update={"part_ids": tuple(part_ids), "file_id": file.id}
            ),
            also=also,
        )

    async def end(self, upload: UploadRecord, status: UploadStatus, now_s: int) -> UploadRecord:
        """Cancel or expire an upload. Raises Conflict if it has ended, Missing if it is gone."""
        return await self.records.update(
            upload.project_id,
            upload.id,
            lambda current: current.end(status, now_s),
            also=lambda pipe, current: self._sweep_at(pipe, current, now_s),
        )

    def _sweep_at(self, pipe: Pipeline, upload: UploadRecord, at_s: int) -> None:
        """Schedule the next sweep of an upload that has ended."""
        pipe.zadd(DUE, {upload.member: at_s})
        pipe.zrem(_pending(upload.project_id), upload.id)

    async def discard_file(self, upload: UploadRecord, file_id: str) -> None:
        """Remove the remains of an attempt to complete, unless the file was registered."""
        key = self._key(upload, "files")
        if await reply(self.redis.sismember(key, file_id)):
            await self.storage.delete_prefix(f"{upload.project_id}/files/{file_id}")
            await reply(self.redis.srem(key, file_id))

    async def purge(self, upload: UploadRecord) -> None:
        """Delete the parts of an ended upload. Its record is deleted a day later."""
        await self.storage.delete_prefix(upload.folder)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._key(upload, "parts"))
            self._sweep_at(pipe, upload, (upload.ended_at or 0) + _KEPT_S)
            await pipe.execute()

    async def sweep(self, now_s: int) -> int:
        """Expire, purge and forget all uploads that are due, and return their number."""
        members = await reply(self.redis.zrangebyscore(DUE, "-inf", now_s))
        for member in members:
            project_id, upload_id = text(member).split("/", 1)
            try:
                upload = await self.records.get(project_id, upload_id)
            except Unreadable:
                continue
            if upload is None:
                await reply(self.redis.zrem(DUE, member))
            else:
                await self._sweep_upload(upload, now_s)
        return len(members)

    async def _sweep_upload(self, upload: UploadRecord, now_s: int) -> None:
        if upload.status is UploadStatus.PENDING:
            try:
                upload = await self.end(upload, UploadStatus.EXPIRED, now_s)
            except (Conflict, Missing):
                return  # completed or canceled concurrently: the next sweep handles it
        await self.purge(upload)
        if upload.ended_at is not None and upload.ended_at + _KEPT_S <= now_s:
            await self._forget(upload)

    async def _forget(self, upload: UploadRecord) -> None:
        # Any process that was still joining parts when the upload ended has discarded its file
        # by now, or died.
        for file_id in await reply(self.redis.smembers(self._key(upload, "files"))):
            await self.discard_file(upload, text(file_id))
        await self.records.delete(
            upload.project_id, upload.id, also=lambda pipe: pipe.zrem(DUE, upload.member)
        )


def _pending(project_id: str) -> str:
    return f"{PREFIX}:{project_id}:uploads-pending"


def require_room(upload: UploadRecord, more_bytes: int, most_bytes: int) -> None:
    """Raise LimitReached or BadRequest if an upload cannot accept another part."""
    if upload.parts >= MAX_PARTS:
        raise LimitReached(
            f"This upload has {upload.parts} parts, which is the limit. Send larger parts.",
            param="upload_id",
        )
    if upload.received_bytes + more_bytes > most_bytes:
        raise BadRequest(
            f"This upload has received {upload.received_bytes} bytes; with this part it would be "
            f"over the limit of {most_bytes} bytes: twice the {upload.bytes} bytes that were "
            "declared, and one part. Cancel it and create a new one.",
            param="data",
            code="wrong_size",
        )
