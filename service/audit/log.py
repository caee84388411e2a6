"""The audit log as one sequence of entries, wherever they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from service.audit.query import Filters, Found, decoded, page, span
from service.core.redis import Client
from service.core.trail import FIELD, STREAM, Entry

_AT_ONCE: Final = 500


class AuditLog:
    """Reads the audit log."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def find(
        self, filters: Filters, *, after: str | None, before: str | None, limit: int
    ) -> Found:
        """Return a page of the entries that match. Raises UnknownCursor."""
        oldest, newest = span(filters, after, before)

        async def chunks() -> AsyncIterator[Iterable[Entry]]:
            async for lines in self._in_redis(oldest, newest):
                yield decoded(lines, filters, after, before)

        return await page(chunks(), filters, after=after, before=before, limit=limit)

    async def _in_redis(self, oldest: float, newest: float) -> AsyncIterator[list[bytes]]:
        """Yield entries that were added in a time, newest first."""
        last = "+" if newest == float("inf") else str(int(newest * 1000))
        first = str(max(0, int(oldest * 1000)))
        while found := await self._redis.xrevrange(STREAM, last, first, count=_AT_ONCE):
            yield [fields[FIELD.encode()] for _, fields in found]
            last = f"({found[-1][0].decode()}"
