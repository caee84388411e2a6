"""Searches the audit log: the newest entries are in Redis, all others in storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from service.audit.stored_log import FOLDER, day_of, list_folders, valid_entries
from service.core.redis import Client
from service.core.storage import Storage, StorageMissing
from service.web import audit_trail
from service.web.audit_trail import STREAM, Entry

_CLOCK_SKEW_S: Final = 120.0
"""By how much the time in an entry may differ from when it was added to the log."""
_AT_ONCE: Final = 500
_LAST_S: Final = 253_402_300_799


@dataclass(frozen=True)
class Filters:
    """Filters of entries. None matches any value."""

    since: float = 0.0
    """The earliest time of an entry, in UTC seconds."""
    until: float = float("inf")
    """The end of the period, in UTC seconds. An entry at this time is not included."""
    project_ids: frozenset[str] | None = None
    event_types: frozenset[str] | None = None
    actor_ids: frozenset[str] | None = None
    resource_ids: frozenset[str] | None = None

    def match_project(self, entry: Entry) -> bool:
        """Return whether an entry is about one of the projects."""
        return self.project_ids is None or entry.project_id in self.project_ids

    def match(self, entry: Entry) -> bool:
        """Return whether an entry matches all filters."""
        return (
            self.since <= entry.at < self.until
            and self.match_project(entry)
            and (self.event_types is None or entry.type in self.event_types)
            and (self.actor_ids is None or entry.actor.id in self.actor_ids)
            and (self.resource_ids is None or not self.resource_ids.isdisjoint(entry.objects))
        )

    def can_match(self, lines: bytes) -> bool:
        """Return whether these lines may contain a matching entry. Much faster than `match`."""
        wanted = (self.project_ids, self.event_types, self.actor_ids, self.resource_ids)
        return all(
            values is None or any(b'"%b"' % value.encode() in lines for value in values)
            for values in wanted
        )


@dataclass(frozen=True)
class Found:
    """A page of entries, newest first."""

    entries: list[Entry]
    has_more: bool


class UnknownCursor(Exception):
    """No entry of the projects has this ID."""


async def page(
    chunks: AsyncIterator[Iterable[Entry]],
    filters: Filters,
    *,
    after: str | None,
    before: str | None,
    limit: int,
) -> Found:
    """Return a page of the entries that match.

    `chunks` yields entries, newest first, possibly with duplicates. `after` and `before` are IDs:
    the entries on the page are older than `after` and newer than `before`. With `before` alone, the
    page ends just before that entry. Raises UnknownCursor.
    """
    seen: set[str] = set()
    found: list[Entry] = []
    has_begun, has_ended = after is None, False
    async for entries in chunks:
        for entry in entries:
            if entry.id in seen:
                continue
            seen.add(entry.id)
            if entry.id == before and filters.match_project(entry):
                has_ended = True
                break
            if has_begun and filters.match(entry):
                found.append(entry)
            has_begun = has_begun or (entry.id == after and filters.match_project(entry))
        if has_ended or (before is None and len(found) > limit):
            break
        if before is not None and after is None:
            del found[: -limit - 1]
    if not has_begun or (before is not None and not has_ended):
        raise UnknownCursor
    if before is not None and after is None:
        return Found(found[-limit:], len(found) > limit)
    return Found(found[:limit], len(found) > limit)


def span(filters: Filters, after: str | None, before: str | None) -> tuple[float, float]:
    """Return the time span in which entries on a page may have been added to the log.

    Raises UnknownCursor if a cursor is not the ID of an entry.
    """
    newest, oldest = filters.until, filters.since
    for cursor, is_after in ((after, True), (before, False)):
        if cursor is None:
            continue
        if (at := audit_trail.time_in(cursor)) is None:
            raise UnknownCursor
        newest = min(newest, at) if is_after else max(newest, at)
        oldest = min(oldest, at)
    return oldest - _CLOCK_SKEW_S, newest + _CLOCK_SKEW_S


def decode_matching(lines: Sequence[bytes], filters: Filters, *also: str | None) -> list[Entry]:
    """Decode the lines that may match the filters or have one of the IDs."""
    cursors = [cursor.encode() for cursor in also if cursor is not None]
    return [
        audit_trail.decode(line)
        for line in lines
        if filters.can_match(line) or any(cursor in line for cursor in cursors)
    ]


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
            # Redis first: an entry sealed in between is found twice, but none is missed.
            async for lines in self._in_redis(oldest, newest):
                yield decode_matching(lines, filters, after, before)
            async for data in self._in_storage(oldest, newest):
                if filters.can_match(data) or any(
                    cursor.encode() in data for cursor in (after, before) if cursor
                ):
                    yield decode_matching(data.splitlines()[::-1], filters, after, before)

        return await page(chunks(), filters, after=after, before=before, limit=limit)

    async def _in_redis(self, oldest: float, newest: float) -> AsyncIterator[list[bytes]]:
        """Yield entries that were added in a time span, newest first."""
        last = "+" if newest > _LAST_S else str(int(newest * 1000))
        first = str(max(0, int(oldest * 1000)))
        while found := await self._redis.xrevrange(STREAM, last, first, count=_AT_ONCE):
            yield [line for _, line in valid_entries([fields for _, fields in found])]
            last = f"({found[-1][0].decode()}"

    async def _in_storage(self, oldest: float, newest: float) -> AsyncIterator[bytes]:
        """Yield sealed entries, newest first, including some outside the time span.

        A folder is named after the day of its first entry, which is the oldest in it.
        """
        last, first = day_of(min(newest, _LAST_S)), day_of(max(0, oldest))
        for day in reversed(await self._storage.folders(FOLDER)):
            if day > last:
                continue
            folders, _ = list_folders(await self._storage.keys(f"{FOLDER}/{day}"))
            for folder in reversed(folders):
                for name in folder.segments:
                    try:
                        yield await self._storage.get_bytes(folder.key(name))
                    except StorageMissing:  # deleted since it was listed
                        continue
                if day < first:
                    return
