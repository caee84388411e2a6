"""Stores recognizers in Redis. The ID of a recognizer is its name.

    finetuned:{project}:recognizers:{name}
    finetuned:{project}:recognizer-digests      hash: the digest of each recognizer, by name

Each request for a report needs a digest of all recognizers, but not their terms, which may take
many megabytes. So the digests are stored in the transactions that change recognizers.
"""

from __future__ import annotations

import hashlib

import msgspec
from pydantic import Field
from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.records import PREFIX, Collection, Record, parse
from service.core.redis import Client, reply, rewriting
from service.core.redis.transactions import Write, commit
from service.datasets.personal_data.kinds import Recognizer

MAX_RECOGNIZERS = 50  # per project


class RecognizerRecord(Record):
    """A recognizer of a project. Its terms are personal data, so it is never logged."""

    pattern: str | None = Field(default=None, repr=False)
    terms: tuple[str, ...] = Field(default=(), repr=False)

    @property
    def recognizer(self) -> Recognizer:
        """The recognizer for `service.datasets`."""
        return Recognizer(self.id, self.pattern, self.terms)

    @property
    def digest(self) -> str:
        """Digest of the recognizer with its name."""
        return hashlib.sha256(msgspec.json.encode(self.recognizer)).hexdigest()


class TooMany(Exception):
    """The project already has the maximum number of recognizers."""


class Recognizers:
    """The recognizers of all projects."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "recognizers", RecognizerRecord)

    async def set(
        self, project_id: str, name: str, pattern: str | None, terms: tuple[str, ...]
    ) -> RecognizerRecord:
        """Create or replace a recognizer. Raises TooMany."""
        key, index = self.records.key(project_id, name), self.records.index(project_id)

        async def decide(pipe: Pipeline) -> tuple[RecognizerRecord, Write]:
            raw = await pipe.get(key)
            if raw is None and await pipe.zcard(index) >= MAX_RECOGNIZERS:
                raise TooMany
            since = clock.now_s() if raw is None else parse(RecognizerRecord, raw, name).created_at
            record = RecognizerRecord(
                id=name, project_id=project_id, created_at=since, pattern=pattern, terms=terms
            )

            def write(pipe: Pipeline) -> None:
                self.records.add(pipe, record)
                pipe.hset(_digests(project_id), name, record.digest)

            return record, write

        return await commit(self.redis, [key, index], decide)

    async def delete(self, project_id: str, name: str) -> bool:
        """Delete a recognizer. Returns False if there was none."""

        def also(pipe: Pipeline) -> None:
            pipe.hdel(_digests(project_id), name)
            rewriting.request(pipe)  # its terms are texts of the project

        return await self.records.delete(project_id, name, also=also)

    async def all(self, project_id: str) -> tuple[Recognizer, ...]:
        """Return the recognizers of a project by name."""
        page = await self.records.page(project_id, limit=MAX_RECOGNIZERS)
        found = (record.recognizer for record in page.items)
        return tuple(sorted(found, key=lambda recognizer: recognizer.name))

    async def digest(self, project_id: str) -> str | None:
        """Return a digest of a project's recognizers, or None if it has none."""
        found = await reply(self.redis.hvals(_digests(project_id)))
        if len(found) != await self.redis.zcard(self.records.index(project_id)):
            # An earlier version wrote some of them without digests.
            page = await self.records.page(project_id, limit=MAX_RECOGNIZERS)
            found = [record.digest.encode() for record in page.items]
        return hashlib.sha256(b"".join(sorted(found))).hexdigest() if found else None


def _digests(project_id: str) -> str:
    return f"{PREFIX}:{project_id}:recognizer-digests"
