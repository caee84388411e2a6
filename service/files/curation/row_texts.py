"""Rows of a canonical file in storage, read by their places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from service.core.storage import Storage

MAX_PAGE_BYTES = 4 * 1024 * 1024  # of rows; the first row is always included
_GAP_BYTES = 64 * 1024  # what is read at once may contain as many bytes of other rows


class Sized(Protocol):
    """What refers to rows of a known length."""

    @property
    def bytes(self) -> int: ...


class Place(Sized, Protocol):
    """A row: its line, and its place among the canonical rows of its file."""

    @property
    def line(self) -> int: ...
    @property
    def start(self) -> int: ...


_S = TypeVar("_S", bound=Sized)


def bounded(entries: Sequence[_S]) -> Sequence[_S]:
    """Return the first entries whose rows are small enough for one page."""
    size = 0
    for number, entry in enumerate(entries):
        size += entry.bytes
        if number and size > MAX_PAGE_BYTES:
            return entries[:number]
    return entries


async def read_rows(storage: Storage, key: str, places: Iterable[Place]) -> dict[int, bytes]:
    """Return canonical rows of a file by line. Raises StorageMissing."""
    texts: dict[int, bytes] = {}
    wanted = sorted((place for place in places if place.bytes), key=lambda place: place.start)
    for group in _neighbors(wanted):
        start = group[0].start
        data = await read_range(storage, key, start, group[-1].start + group[-1].bytes)
        for place in group:
            at = place.start - start
            texts[place.line] = data[at : at + place.bytes]
    return texts


async def read_range(storage: Storage, key: str, start: int, end: int) -> bytes:
    """Return the bytes from `start` to `end` of an object. Raises StorageMissing."""
    return b"".join([chunk async for chunk in await storage.stream(key, start, end)])


def _neighbors(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """Yield groups of rows that are close to each other."""
    first = 0
    for at in range(1, len(places) + 1):
        if at == len(places) or places[at].start > _GAP_BYTES + (
            places[at - 1].start + places[at - 1].bytes
        ):
            yield places[first:at]
            first = at
