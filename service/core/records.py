"""Stores typed records in Redis, partitioned by project, with pages and labels.

A record is a frozen pydantic model with `id`, `project_id` and `created_at`. Every collection is
partitioned by project: every lookup names a project.

    finetuned:{project}:{collection}:{id}   the record as JSON
    finetuned:{project}:{collection}        sorted set of IDs, scored by creation time
    finetuned:{project}:{collection}-with:{digest}   IDs of the records with a label, as above
    finetuned:{project}:{collection}-labeled         IDs of the records whose labels are stored

A record that this version cannot parse, because a newer one wrote it, is logged and counted
(`Unreadable`). Lists skip it.

Writes that belong together are made in one MULTI: `also` adds commands to it. Updates are
optimistic (WATCH), so a change function sees the latest record and no update between read and write
is lost. A write whose reply is lost with the connection counts as written
(see redis/transactions.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.core import clock, metrics
from service.core.errors import InternalError
from service.core.redis import batched, text
from service.core.redis.transactions import Write, commit, touch

log = logging.getLogger(__name__)
PREFIX = "finetuned"
_SCAN_PAGE, _LARGEST_SCAN_PAGE = 100, 500  # IDs read at once
_MAX_LOGGED = 10_000
_logged: set[str] = set()  # loops read the same record every few seconds


class Stored(BaseModel):
    """A record, or a value in one. Fields that only a newer version knows are kept when it is
    written again, so that both versions can run at the same time.
    """

    model_config = ConfigDict(frozen=True, extra="allow")


class Record(Stored):
    """Fields that every record has."""

    id: str
    project_id: str
    created_at: int

    def changed_from(self, _before: Self) -> Self:
        """Return this record as it replaces another. Subclasses may add to it."""
        return self


R = TypeVar("R", bound=Record)
Also = Callable[["Pipeline"], Any]
Check = Callable[["Pipeline"], Awaitable[Any]]
"""Raises if a transaction must not be made. It watches what it reads."""


@dataclass(frozen=True)
class Page(Generic[R]):
    """A page of a list, newest first by default."""

    items: list[R]
    has_more: bool


class Missing(Exception):
    """The project has no such record."""


class Unreadable(InternalError):
    """A record that this version cannot parse. It has already been logged and counted."""

    def __init__(self, record_id: str) -> None:
        super().__init__(
            f"This part of the service cannot read the record of {record_id}: a newer version may "
            "have written it. Ask the operator to update all parts of the service."
        )


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], raw: bytes | str | dict[str, Any], record_id: str) -> M:
    """Parse a record from its JSON or from its fields. Raises Unreadable."""
    try:
        if isinstance(raw, dict):
            return model.model_validate(raw)
        return model.model_validate_json(raw)
    except ValidationError as e:
        metrics.RECORDS_UNREADABLE.cell(model.__name__).inc()
        if record_id not in _logged and len(_logged) < _MAX_LOGGED:
            _logged.add(record_id)
            # Only fields and types of errors: values, and keys in a field, may be user text.
            faults = [(*f["loc"][:1], f["type"]) for f in e.errors()[:3]]
            log.error("%s %s cannot be read: %s", model.__name__, record_id, faults)
        raise Unreadable(record_id) from None


def parse_known(
    model: type[M], found: Iterable[tuple[str, bytes | str | dict[str, Any] | None]]
) -> list[M]:
    """Parse the records that exist and are readable, from pairs of ID and JSON or fields."""
    records = []
    for record_id, raw in found:
        if raw is not None:
            with contextlib.suppress(Unreadable):
                records.append(parse(model, raw, record_id))
    return records


class Collection(Generic[R]):
    """Records of one kind, partitioned by project."""

    def __init__(self, redis: Redis, name: str, model: type[R]) -> None:
        self.redis = redis
        self.name = name
        self.model = model

    def key(self, project_id: str, record_id: str) -> str:
        """Return the Redis key of a record."""
        return f"{PREFIX}:{project_id}:{self.name}:{record_id}"

    def index(self, project_id: str) -> str:
        """Return the Redis key of the project's list of IDs."""
        return f"{PREFIX}:{project_id}:{self.name}"

    async def create(self, record: R, also: Also | None = None, check: Check | None = None) -> R:
        """Write a new record exactly once. Raises ValueError if its ID is taken."""
        key = self.key(record.project_id, record.id)

        async def decide(pipe: Pipeline) -> tuple[R, Write]:
            if await pipe.exists(key):
                raise ValueError(f"{self.name} {record.id} exists already")
            if check:
                await check(pipe)
            return record, write

        def write(pipe: Pipeline) -> None:
            self.add(pipe, record)
            if also:
                also(pipe)

        return await commit(self.redis, [key], decide)

    def add(self, pipe: Pipeline, record: R) -> None:
        """Add to a transaction the write of a new record and of its list entry."""
        self.write(pipe, record)
        pipe.zadd(self.index(record.project_id), {record.id: clock.now()}, nx=True)

    def write(self, pipe: Pipeline, record: R) -> None:
        """Add the write of `record` to a transaction."""
        touch(record.id)
        pipe.set(self.key(record.project_id, record.id), record.model_dump_json())

    async def get(self, project_id: str, record_id: str) -> R | None:
        """Return the record, or None if the project has none with this ID. Raises Unreadable."""
        raw = await self.redis.get(self.key(project_id, record_id))
        return None if raw is None else parse(self.model, raw, record_id)

    async def get_many(self, project_id: str, record_ids: Iterable[str]) -> list[R]:
        """Return the records that exist and are readable, in the order of `record_ids`."""
        wanted = list(record_ids)
        if not wanted:
            return []
        found = await self.redis.mget([self.key(project_id, i) for i in wanted])
        return parse_known(self.model, zip(wanted, found, strict=True))

    async def update(
        self,
        project_id: str,
        record_id: str,
        change: Callable[[R], R],
        also: Callable[[Pipeline, R], Any] | None = None,
        check: Check | None = None,
    ) -> R:
        """Read, change and write back a record atomically. `change` can raise to cancel the update.

        `change` runs again if another process wrote in between, so it must be pure. Raises Missing
        if the record does not exist, and Unreadable.
        """

        key = self.key(project_id, record_id)

        async def decide(pipe: Pipeline) -> tuple[R, Write]:
            raw = await pipe.get(key)
            if raw is None:
                raise Missing(record_id)
            before = parse(self.model, raw, record_id)
            record = change(before).changed_from(before)
            if check:
                await check(pipe)
            return record, partial(write, record)

        def write(record: R, pipe: Pipeline) -> None:
            self.write(pipe, record)
            if also:
                also(pipe, record)

        return await commit(self.redis, [key], decide)

    async def delete(self, project_id: str, record_id: str, also: Also | None = None) -> bool:
        """Remove the record. Returns False if there was none."""
        key = self.key(project_id, record_id)

        async def decide(pipe: Pipeline) -> tuple[bool, Write]:
            return bool(await pipe.exists(key)), write

        def write(pipe: Pipeline) -> None:
            self.remove(pipe, project_id, record_id)
            if also:
                also(pipe)

        return await commit(self.redis, [key], decide)

    def remove(self, pipe: Pipeline, project_id: str, record_id: str) -> None:
        """Add to a transaction the removal of a record and of its list entry."""
        touch(record_id)
        pipe.delete(self.key(project_id, record_id))
        pipe.zrem(self.index(project_id), record_id)

    async def ids(self, project_id: str) -> list[str]:
        """Return the IDs of all of the project's records, oldest first."""
        return [i.decode() for i in await self.redis.zrange(self.index(project_id), 0, -1)]

    async def clear(self, project_id: str) -> None:
        """Remove all of the project's records."""
        keys = [self.key(project_id, i) for i in await self.ids(project_id)]
        await self.redis.delete(*keys, self.index(project_id))

    async def read_expired(self, key: str, now_s: int) -> list[R]:
        """Return the expired records of a sorted set of "project/id", scored by expiration time.

        Members without a record are removed. Those that only a newer version can read are left to
        it.
        """
        found: list[R] = []
        for member in await self.redis.zrangebyscore(key, "-inf", now_s):
            project_id, record_id = text(member).split("/", 1)
            try:
                record = await self.get(project_id, record_id)
            except Unreadable:
                continue
            if record is None:
                await self.redis.zrem(key, member)
            else:
                found.append(record)
        return found

    async def place_after(
        self, project_id: str, after: str | None, oldest_first: bool, index: str | None = None
    ) -> int:
        """Return where in the list the record after this ID is. Raises Missing."""
        if after is None:
            return 0
        rank = self.redis.zrank if oldest_first else self.redis.zrevrank
        position = await rank(index or self.index(project_id), after)
        if position is None:
            raise Missing(after)
        return int(position) + 1

    async def scan(
        self, project_id: str, start: int = 0, *, oldest_first: bool, index: str | None = None
    ) -> AsyncIterator[tuple[int, list[tuple[str, bytes | None]]]]:
        """Yield the IDs of the project's records with their JSON, from a place in the list on.

        Each batch has the place of its first record. A deleted record may be without JSON.
        """
        ids_from = self.redis.zrange if oldest_first else self.redis.zrevrange
        size = _LARGEST_SCAN_PAGE
        while found := await ids_from(index or self.index(project_id), start, start + size - 1):
            known = [i.decode() for i in found]
            raws = await self.redis.mget([self.key(project_id, i) for i in known])
            yield start, list(zip(known, raws, strict=True))
            start += size
            if len(known) < size:
                return

    async def page(
        self,
        project_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        where: Callable[[R], bool] | None = None,
        where_id: Callable[[str], bool] | None = None,
        oldest_first: bool = False,
        index: str | None = None,
    ) -> Page[R]:
        """Return a page of the project's records that match `where` and `where_id`.

        `where_id` avoids reading the records that it excludes. `after` is the ID of the previous
        page's last record. `index` is the Redis key of another sorted set of IDs, for another
        order. Raises Missing if `after` is unknown.
        """
        index = index or self.index(project_id)
        start = await self.place_after(project_id, after, oldest_first, index)
        items: list[R] = []
        is_filtered = where is not None or where_id is not None
        scan = min(max(limit + 1, _SCAN_PAGE if is_filtered else 0), _LARGEST_SCAN_PAGE)
        ids_from = self.redis.zrange if oldest_first else self.redis.zrevrange
        while len(items) <= limit:
            raw = await ids_from(index, start, start + scan - 1)
            ids = [i.decode() for i in raw]
            wanted = ids if where_id is None else [i for i in ids if where_id(i)]
            records = await self.get_many(project_id, wanted)
            items += [r for r in records if where is None or where(r)]
            if len(ids) < scan:
                break
            start += scan
            scan = min(2 * scan, _LARGEST_SCAN_PAGE)
        return Page(items[:limit], len(items) > limit)


_READ_AT_ONCE = 500


class Labels(Generic[R]):
    """The labels of the records of a collection, so that a filtered list reads only its records.

    A record's labels follow from the record and never change. They are stored in the transaction
    that creates the record. Older versions did not store them, so a list first adds those that are
    missing.
    """

    def __init__(self, records: Collection[R], of: Callable[[R], Iterable[str]]) -> None:
        self._records = records
        self._of = of

    def add(self, pipe: Pipeline, record: R) -> None:
        """Add the labels of a new record to the transaction that creates it."""
        self._add(pipe, record, clock.now())

    def remove(self, pipe: Pipeline, record: R) -> None:
        """Remove the labels of a record in the transaction that deletes it."""
        for key in self._keys(record):
            pipe.zrem(key, record.id)

    async def page(
        self,
        project_id: str,
        labels: Sequence[str],
        *,
        after: str | None,
        limit: int,
        where: Callable[[R], bool] | None = None,
        oldest_first: bool = False,
    ) -> Page[R]:
        """Return a page of the records that have all `labels`, as `Collection.page` does."""
        index, where_id = None, None
        if labels:
            await self._add_missing(project_id)
            index, where_id = await self._find_index(project_id, labels)
        return await self._records.page(
            project_id,
            after=after,
            limit=limit,
            where=where,
            where_id=where_id,
            oldest_first=oldest_first,
            index=index,
        )

    async def _find_index(
        self, project_id: str, labels: Sequence[str]
    ) -> tuple[str, Callable[[str], bool] | None]:
        """Return an index with all records that have the labels, and a filter for its IDs."""
        keys = [self._key(project_id, label) for label in labels]
        if len(keys) == 1:
            return keys[0], None
        redis = self._records.redis
        sizes = [int(await redis.zcard(key)) for key in keys]
        having_all = {text(record_id) for record_id in await redis.zinter(keys)}
        return keys[sizes.index(min(sizes))], having_all.__contains__

    async def _add_missing(self, project_id: str) -> None:
        redis, index = self._records.redis, self._records.index(project_id)
        labeled = self._labeled(project_id)
        async with redis.pipeline(transaction=True) as pipe:
            pipe.zcard(index)
            pipe.zcard(labeled)
            if len(set(await pipe.execute())) == 1:
                return
        # An older version deleted these. Lists skip their IDs, which are still under labels.
        if deleted := await redis.zdiff([labeled, index]):
            await redis.zrem(labeled, *deleted)
        missing = [text(record_id) for record_id in await redis.zdiff([index, labeled])]
        for batch in batched(missing, _READ_AT_ONCE):
            scores = dict(zip(batch, await redis.zmscore(index, list(batch)), strict=True))
            async with redis.pipeline(transaction=True) as pipe:
                for record in await self._records.get_many(project_id, batch):
                    if (score := scores[record.id]) is not None:
                        self._add(pipe, record, score)
                await pipe.execute()

    def _add(self, pipe: Pipeline, record: R, score: float) -> None:
        for key in self._keys(record):
            pipe.zadd(key, {record.id: score}, nx=True)

    def _keys(self, record: R) -> list[str]:
        project_id = record.project_id
        keys = [self._key(project_id, label) for label in self._of(record)]
        return [*keys, self._labeled(project_id)]

    def _key(self, project_id: str, label: str) -> str:
        digest = hashlib.sha256(label.encode()).hexdigest()[:32]  # a label may contain user text
        return f"{PREFIX}:{project_id}:{self._records.name}-with:{digest}"

    def _labeled(self, project_id: str) -> str:
        return f"{PREFIX}:{project_id}:{self._records.name}-labeled"
