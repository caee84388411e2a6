"""Stored usage records in Redis, and the pages of the usage API that are built from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from redis.asyncio import Redis

from service.core.redis import text
from service.usage import keys
from service.usage.query import BucketSums, Filters, Spans, page_at
from service.usage.schemas import UsageBucket, UsagePage
from service.usage.sums import Counts, Group, Width

_HASHES_AT_ONCE = 50
# A page ends early, after a complete bucket, once it holds this many results.
_MAX_RESULTS = 5_000
_KEPT_SPANS_AT_ONCE = 60


class UsageRecords:
    """Usage sums by project, key and model, per minute and hour."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(
        self, width: Width, starts: Sequence[int], projects: Collection[str] | None
    ) -> AsyncIterator[tuple[Group, Counts]]:
        """Yield the sums in these intervals for these projects, or for all if None."""
        places = await self._places(width, starts, projects)
        for at in range(0, len(places), _HASHES_AT_ONCE):
            some = places[at : at + _HASHES_AT_ONCE]
            async with self._redis.pipeline(transaction=False) as pipe:
                for project_id, start_s in some:
                    pipe.hgetall(keys.usage(project_id, width, start_s))
                hashes = await pipe.execute()
            for (project_id, start_s), fields in zip(some, hashes, strict=True):
                for field, line in fields.items():
                    key_id, _, rest = text(field).partition(" ")
                    model = rest.removesuffix(keys.OF_BATCHES)
                    group = Group(start_s, project_id, key_id, model, model != rest)
                    yield group, Counts.parse(text(line))

    async def _places(
        self, width: Width, starts: Sequence[int], projects: Collection[str] | None
    ) -> list[tuple[str, int]]:
        """The hashes to read. For a single project, an index lookup is not worthwhile."""
        if projects is not None and len(projects) < 2:
            return [(project_id, start_s) for start_s in starts for project_id in projects]
        async with self._redis.pipeline(transaction=False) as pipe:
            for start_s in starts:
                pipe.smembers(keys.usage_index(width, start_s))
            members = await pipe.execute()
        return [
            (text(project_id), start_s)
            for start_s, known in zip(starts, members, strict=True)
            for project_id in known
            if projects is None or text(project_id) in projects
        ]


async def read_page(
    records: UsageRecords,
    spans: Spans,
    filters: Filters,
    projects: Collection[str] | None,
    *,
    max_results: int = _MAX_RESULTS,
) -> UsagePage:
    """The page with the requested buckets, for these projects or for all if None."""
    data: list[UsageBucket] = []
    starts, bucket_s, results = spans.starts, spans.bucket_s, 0
    at_once = max(1, _KEPT_SPANS_AT_ONCE // len(spans.kept_starts(0)))
    for at in range(0, len(starts), at_once):
        sums = {start_s: BucketSums(filters) for start_s in starts[at : at + at_once]}
        kept = [kept_s for start_s in sums for kept_s in spans.kept_starts(start_s)]
        async for group, counts in records.read(spans.kept_width, kept, projects):
            sums[group.start_s - group.start_s % bucket_s].add(group, counts)
        for start_s, bucket in sums.items():
            results += len(bucket)
            data.append(bucket.bucket(start_s, start_s + bucket_s))
            if results >= max_results and start_s != starts[-1]:
                return UsagePage(data=data, has_more=True, next_page=page_at(start_s + bucket_s))
    return UsagePage(data=data, has_more=spans.next_page is not None, next_page=spans.next_page)
