"""The audit log as one sequence of entries: the newest in Redis, all others in storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from service.audit.places import ROOM, day_of, places_in
from service.audit.query import Filters, Found, decoded, page, span
from service.audit.sealed import believed
from service.core.redis import Client
from service.core.storage import Storage, StorageMissing
from service.web.audit_trail import STREAM, Entry

_AT_ONCE: Final = 500
_LAST_S: Final = 253_402_300_799


class AuditLog:
    """Reads the audit log."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self._redis = redis
        self._storage = storage

    async def find(
        self, filters: Filters, *, after: str | None, before: str | None, limit: int
    ) -> Found:
        """Return a page of the entries that match. Raises UnknownCursor and StorageError."""
        oldest, newest = span(filters, after, before)

        async def chunks() -> AsyncIterator[Iterable[Entry]]:
            # Redis first: an entry that is sealed in between is found twice, and none is missed.
            async for lines in self._in_redis(oldest, newest):
                yield decoded(lines, filters, after, before)
            async for data in self._in_storage(oldest, newest):
                if filters.can_match(data) or any(
                    cursor.encode() in data for cursor in (after, before) if cursor
                ):
                    yield decoded(data.splitlines()[::-1], filters, after, before)

        return await page(chunks(), filters, after=after, before=before, limit=limit)

    async def _in_redis(self, oldest: float, newest: float) -> AsyncIterator[list[bytes]]:
        """Yield entries that were added in a time, newest first."""
        last = "+" if newest > _LAST_S else str(int(newest * 1000))
        first = str(max(0, int(oldest * 1000)))
        while found := await self._redis.xrevrange(STREAM, last, first, count=_AT_ONCE):
            yield [line for _, line in believed([fields for _, fields in found])]
            last = f"({found[-1][0].decode()}"

    async def _in_storage(self, oldest: float, newest: float) -> AsyncIterator[bytes]:
        """Yield sealed entries, newest first, with some before and after the time.

        A folder has the day of its first entry, and the others in it are at most as old.
        """
        last, first = day_of(min(newest, _LAST_S)), day_of(max(0, oldest))
        for day in reversed(await self._storage.folders(ROOM)):
            if day > last:
                continue
            places, _ = places_in(await self._storage.keys(f"{ROOM}/{day}"))
            for place in reversed(places):
                for name in place.segments:
                    try:
                        yield await self._storage.get_bytes(place.key(name))
                    except StorageMissing:  # deleted since it was listed, because it is old
                        continue
                if day < first:
                    return
