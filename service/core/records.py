"""Typed collections of records on Redis.

A record is a frozen pydantic model with `id`, `project_id` and `created_at`. Every
collection is partitioned by project: there is no look-up that does not name one.

    finetuned:{project}:{collection}:{id}   the record as JSON
    finetuned:{project}:{collection}        sorted set of ids, scored by creation time

Writes that belong together happen in one MULTI: `also` adds commands to it. Updates are
optimistic (WATCH), so a change function sees the newest record and nothing is lost
between read and write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

PREFIX = "finetuned"
_SCAN_PAGE, _LARGEST_SCAN_PAGE = 100, 1000  # ids read at once


class Record(BaseModel):
    """What every record has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    project_id: str
    created_at: int


R = TypeVar("R", bound=Record)
Also = Callable[["Pipeline"], Any]


@dataclass(frozen=True)
class Page(Generic[R]):
    """One page of a list, newest first."""

    items: list[R]
    has_more: bool


class Missing(Exception):
    """There is no such record in this project."""


class Collection(Generic[R]):
    """Records of one kind, by project."""

    def __init__(self, redis: Redis, name: str, model: type[R]) -> None:
        self.redis = redis
        self.name = name
        self.model = model

    def key(self, project_id: str, record_id: str) -> str:
        """The Redis key of one record."""
        return f"{PREFIX}:{project_id}:{self.name}:{record_id}"

    def index(self, project_id: str) -> str:
        """The Redis key of the project's list of ids."""
        return f"{PREFIX}:{project_id}:{self.name}"

    async def create(self, record: R, also: Also | None = None) -> R:
        """Write a new record. Raises ValueError if its id is taken."""
        key = self.key(record.project_id, record.id)
        async with self.redis.pipeline(transaction=True) as pipe:
            await pipe.watch(key)
            if await pipe.exists(key):
                raise ValueError(f"{self.name} {record.id} exists already")
            pipe.multi()  # type: ignore[no-untyped-call]
            self.add(pipe, record)
            if also:
                also(pipe)
            await pipe.execute()
        return record

    def add(self, pipe: Pipeline, record: R) -> None:
        """Add to a transaction the write of a new record and its place in the list."""
        self.write(pipe, record)
        pipe.zadd(self.index(record.project_id), {record.id: time.time()}, nx=True)

    def write(self, pipe: Pipeline, record: R) -> None:
        """Add the write of `record` to a transaction."""
        pipe.set(self.key(record.project_id, record.id), record.model_dump_json())

    async def get(self, project_id: str, record_id: str) -> R | None:
        """The record, or None where the project has none of this id."""
        raw = await self.redis.get(self.key(project_id, record_id))
        return None if raw is None else self.model.model_validate_json(raw)

    async def get_many(self, project_id: str, record_ids: Iterable[str]) -> list[R]:
        """Those records that exist, in the order of `record_ids`."""
        keys = [self.key(project_id, record_id) for record_id in record_ids]
        if not keys:
            return []
        found = await self.redis.mget(keys)
        return [self.model.model_validate_json(raw) for raw in found if raw is not None]

    async def update(
        self,
        project_id: str,
        record_id: str,
        change: Callable[[R], R],
        also: Callable[[Pipeline, R], Any] | None = None,
    ) -> R:
        """Read, change and write back as one step; `change` may raise to refuse.

        `change` runs again when another process wrote in between, so it must be pure.
        Raises Missing where there is no such record.
        """
        key = self.key(project_id, record_id)
        async with self.redis.pipeline(transaction=True) as pipe:
            while True:
                await pipe.watch(key)
                raw = await pipe.get(key)
                if raw is None:
                    raise Missing(record_id)
                record = change(self.model.model_validate_json(raw))
                pipe.multi()  # type: ignore[no-untyped-call]
                self.write(pipe, record)
                if also:
                    also(pipe, record)
                try:
                    await pipe.execute()
                except WatchError:
                    continue
                return record

    async def delete(self, project_id: str, record_id: str, also: Also | None = None) -> bool:
        """Remove the record; False where there was none."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.delete(self.key(project_id, record_id))
            pipe.zrem(self.index(project_id), record_id)
            if also:
                also(pipe)
            removed, *_ = await pipe.execute()
        return bool(removed)

    async def clear(self, project_id: str) -> None:
        """Remove all of the project's records."""
        ids = await self.redis.zrange(self.index(project_id), 0, -1)
        keys = [self.key(project_id, i.decode()) for i in ids]
        await self.redis.delete(*keys, self.index(project_id))

    async def page(
        self,
        project_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        where: Callable[[R], bool] | None = None,
        where_id: Callable[[str], bool] | None = None,
        oldest_first: bool = False,
    ) -> Page[R]:
        """A page of the project's records that `where` and `where_id` let through.

        `where_id` spares the read of the others. `after` is the id of the last record of the
        page before. Raises Missing where it is not known.
        """
        start = 0
        if after is not None:
            rank = self.redis.zrank if oldest_first else self.redis.zrevrank
            position = await rank(self.index(project_id), after)
            if position is None:
                raise Missing(after)
            start = int(position) + 1
        items: list[R] = []
        scan = min(max(limit + 1, _SCAN_PAGE), _LARGEST_SCAN_PAGE)
        ids_from = self.redis.zrange if oldest_first else self.redis.zrevrange
        while len(items) <= limit:
            raw = await ids_from(self.index(project_id), start, start + scan - 1)
            ids = [i.decode() for i in raw]
            wanted = ids if where_id is None else [i for i in ids if where_id(i)]
            records = await self.get_many(project_id, wanted)
            items += [r for r in records if where is None or where(r)]
            if len(ids) < scan:
                break
            start += scan
        return Page(items[:limit], len(items) > limit)
