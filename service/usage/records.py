"""Read access to the usage records in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from redis.asyncio import Redis

from service.core.redis import text
from service.usage import keys
from service.usage.counts import Counts
from service.usage.rows import Group, Width

_HASHES_AT_ONCE = 50


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
