"""Labels of records, so that a filtered list reads only the records that it returns.

    finetuned:{project}:{collection}-with:{digest}  sorted set of the IDs with a label
    finetuned:{project}:{collection}-labeled        sorted set of the IDs whose labels are stored

A record's labels follow from the record and never change. They are stored in the transaction that
creates the record. Older versions did not store them, so a list first adds those that are missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Generic

from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.records import PREFIX, Collection, Page, R
from service.core.redis import batched, text

_READ_AT_ONCE = 500


class Labels(Generic[R]):
    """The labels of the records of a collection."""

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
            index, where_id = await self._having(project_id, labels)
        return await self._records.page(
            project_id,
            after=after,
            limit=limit,
            where=where,
            where_id=where_id,
            oldest_first=oldest_first,
            index=index,
        )

    async def _having(
        self, project_id: str, labels: Sequence[str]
    ) -> tuple[str, Callable[[str], bool] | None]:
        """Return an index that has all records with the labels, and a filter for its IDs."""
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
        for some in batched(missing, _READ_AT_ONCE):
            scores = dict(zip(some, await redis.zmscore(index, list(some)), strict=True))
            async with redis.pipeline(transaction=True) as pipe:
                for record in await self._records.get_many(project_id, some):
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
        digest = hashlib.sha256(label.encode()).hexdigest()[:32]  # a label may be a user's text
        return f"{PREFIX}:{project_id}:{self._records.name}-with:{digest}"

    def _labeled(self, project_id: str) -> str:
        return f"{PREFIX}:{project_id}:{self._records.name}-labeled"
