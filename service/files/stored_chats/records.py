"""Records of stored chats in Redis. Their texts are in storage only, encrypted like files.

    finetuned:{project}:captures:{id}   a chat: its model, its metadata, when it expires
    finetuned:captures-expiring         "project/chat", scored by expiration time

Storage has one object per chat, `{project}/captures/{id}/chat.json`. It is noted in `leftovers`
until the record is written, and again after the record is deleted, until it is gone. A chat has the
ID of its completion or response.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from pydantic import Field
from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.records import PREFIX, Collection, Labels, Page, Record
from service.core.redis import REDIS_ERRORS, Client, batched, reply, rewriting, text
from service.core.redis.transactions import write_once
from service.core.storage import Storage, StorageError, StorageMissing
from service.core.storage.leftovers import Leftovers
from service.files.stored_chats.redaction import StoredChat
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import SYSTEM, Trail

log = logging.getLogger(__name__)

EXPIRING: Final = f"{PREFIX}:captures-expiring"
MAX_PER_PROJECT: Final = 100_000
_ID: Final = re.compile(r"(?:chatcmpl-|resp_)[0-9A-Za-z._-]{1,100}")
_RECORD_WITHIN_S: Final = 3600  # a chat without a record is removed after this time
_CONCURRENCY: Final = 16
_BATCH: Final = 200
_REMOVE_S: Final = 20.0  # after which a request leaves the remaining bytes to the sweep


class StoredChatRecord(Record):
    """A stored chat. Its ID is that of the completion or response."""

    model: str
    finish_reason: str
    expires_at: int
    bytes: int
    metadata: dict[str, str] = Field(default_factory=dict)
    """Redacted, like the texts."""
    redactions: int = 0

    @property
    def folder(self) -> str:
        """The storage prefix of the chat."""
        return f"{self.project_id}/captures/{self.id}"

    @property
    def key(self) -> str:
        """The storage key of the chat."""
        return f"{self.folder}/chat.json"

    def expired(self, now_s: int) -> bool:
        """Return whether the chat has expired."""
        return self.expires_at <= now_s


class TooManyChats(Exception):
    """The project has the maximum number of stored chats."""


def is_id(value: str) -> bool:
    """Return whether the value has the form of the ID of a completion or response."""
    return _ID.fullmatch(value) is not None


Where = Callable[[StoredChatRecord], bool]


class StoredChats:
    """The stored chats of all projects."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self.redis = redis
        self.storage = storage
        self.records = Collection(redis, "captures", StoredChatRecord)
        self._labels = Labels(self.records, lambda record: [record.model])
        self._leftovers = Leftovers(redis, "captures")

    async def add(self, record: StoredChatRecord, chat: bytes) -> bool:
        """Store a chat. Returns False if the project has one with this ID.

        Raises TooManyChats, StorageError and REDIS_ERRORS.
        """
        if await self.redis.exists(self.records.key(record.project_id, record.id)):
            return False
        member = _member(record)
        await self._leftovers.noted(member, clock.now_s() + _RECORD_WITHIN_S)

        async def check(pipe: Pipeline) -> None:
            if await pipe.zcard(self.records.index(record.project_id)) >= MAX_PER_PROJECT:
                raise TooManyChats

        def also(pipe: Pipeline) -> None:
            self._labels.add(pipe, record)
            self._leftovers.forget(pipe, member)
            pipe.zadd(EXPIRING, {member: record.expires_at})

        try:
            await self.storage.put_bytes(record.key, chat)
            await self.records.create(record, also=also, check=check)
        except TooManyChats:
            await self._remove(record)
            raise
        return True

    async def get(self, project_id: str, chat_id: str) -> StoredChatRecord | None:
        """Return a project's chat, or None if it does not exist or has expired."""
        record = await self.records.get(project_id, chat_id) if is_id(chat_id) else None
        return None if record is None or record.expired(clock.now_s()) else record

    async def page(
        self,
        project_id: str,
        *,
        model: str | None,
        where: Where = lambda _: True,
        after: str | None = None,
        limit: int,
        oldest_first: bool,
    ) -> Page[StoredChatRecord]:
        """Return a page of a project's chats that have not expired. Raises Missing."""
        now_s = clock.now_s()
        return await self._labels.page(
            project_id,
            [] if model is None else [model],
            after=after,
            limit=limit,
            where=lambda record: not record.expired(now_s) and where(record),
            oldest_first=oldest_first,
        )

    async def read(self, record: StoredChatRecord) -> StoredChat | None:
        """Return the stored form of a chat, or None if it is gone. Raises StorageError."""
        try:
            return msgspec.json.decode(await self.storage.get_bytes(record.key), type=StoredChat)
        except StorageMissing:
            return None

    async def read_all(
        self, records: Sequence[StoredChatRecord]
    ) -> list[tuple[StoredChatRecord, StoredChat]]:
        """Read chats concurrently. Those that are gone are left out. Raises StorageError."""
        found: list[StoredChat | None] = []
        for some in batched(records, _CONCURRENCY):
            found += await asyncio.gather(*map(self.read, some))
        return [(r, chat) for r, chat in zip(records, found, strict=True) if chat is not None]

    async def set_metadata(
        self, record: StoredChatRecord, metadata: dict[str, str]
    ) -> StoredChatRecord:
        """Replace the metadata of a chat. Raises Missing."""
        return await self.records.update(
            record.project_id, record.id, lambda now: now.model_copy(update={"metadata": metadata})
        )

    async def delete(self, records: Sequence[StoredChatRecord]) -> int:
        """Delete chats of a project, and return their number. The sweep removes remaining bytes."""
        for some in batched(records, _BATCH):
            await self._forget(some)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REMOVE_S):
                for some in batched(records, _CONCURRENCY):
                    await asyncio.gather(*map(self._remove, some))
        return len(records)

    async def _forget(self, records: Sequence[StoredChatRecord]) -> None:
        def write(pipe: Pipeline) -> None:
            for record in records:
                self.records.remove(pipe, record.project_id, record.id)
                self._labels.remove(pipe, record)
                pipe.zrem(EXPIRING, _member(record))
                self._leftovers.note(pipe, _member(record), clock.now_s())
            rewriting.request(pipe)

        await write_once(self.redis, write)

    async def _remove(self, record: StoredChatRecord) -> None:
        try:
            await self.storage.delete_prefix(record.folder)
            await self._leftovers.removed(_member(record))
        except (*REDIS_ERRORS, StorageError) as e:
            log.warning("a deleted chat cannot be removed from storage yet: %s", type(e).__name__)

    async def list_all(
        self, project_id: str, *, model: str | None = None
    ) -> list[StoredChatRecord]:
        """Return all of a project's chats, expired ones included, oldest first."""
        found = await self._labels.page(
            project_id,
            [] if model is None else [model],
            after=None,
            limit=MAX_PER_PROJECT,
            oldest_first=True,
        )
        return found.items

    async def delete_expired(self, now_s: int) -> int:
        """Delete all expired chats and return their number."""
        members = await reply(self.redis.zrangebyscore(EXPIRING, "-inf", now_s))
        for some in batched(members, _BATCH):
            found = [text(member).split("/", 1) for member in some]
            for project_id in dict.fromkeys(project_id for project_id, _ in found):
                of_project = [chat_id for owner, chat_id in found if owner == project_id]
                records = await self.records.get_many(project_id, of_project)
                event = AuditEvent.STORED_CHATS_DELETED
                with audit_trail.following(Trail(event, SYSTEM, project_id=project_id)):
                    await self.delete(records)
                lost = {*of_project} - {record.id for record in records}
                if lost:
                    await reply(self.redis.zrem(EXPIRING, *(f"{project_id}/{i}" for i in lost)))
        return len(members)

    async def sweep(self, now_s: int) -> None:
        """Remove the bytes of deleted chats, and of those that were never recorded."""
        for name in await self._leftovers.due(now_s):
            project_id, chat_id = name.split("/", 1)
            if not await self.redis.exists(self.records.key(project_id, chat_id)):
                await self.storage.delete_prefix(f"{project_id}/captures/{chat_id}")
            await self._leftovers.removed(name)


def _member(record: StoredChatRecord) -> str:
    return f"{record.project_id}/{record.id}"
