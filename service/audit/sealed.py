"""What of the audit log is sealed in storage, also after a loss of Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.audit.checkpoints import BadCheckpoint, Checkpoint, verified
from service.audit.places import CHECKPOINT, ROOM, Place, day_of, places_in
from service.core import trail
from service.core.redis import Client
from service.core.signing import PublicKey
from service.core.storage import Storage
from service.core.trail import FIELD, STREAM, Entry

_CLOCKS_DIFFER_S: Final = 600.0


@dataclass(frozen=True)
class Survived:
    """The part of the log that survived a loss of Redis."""

    sealed: int
    """Number of entries that are sealed in storage."""
    unsealed: int
    """Number of entries that the restored Redis has and storage has not."""
    newest_at: float
    """Time of the newest of all these entries; 0 if there are none."""
    is_signed_with: bool
    """Whether the given key signed the sealed entries; true if there are none."""


async def recently_sealed(
    redis: Client, storage: Storage, places: Sequence[Place]
) -> frozenset[str]:
    """The IDs of sealed entries that may still be in the stream."""
    oldest = await redis.xrange(STREAM, count=1)
    if not oldest:
        return frozenset()
    since_s = int(oldest[0][0].split(b"-")[0]) / 1000 - _CLOCKS_DIFFER_S
    found: set[str] = set()
    for place in reversed(places):
        if CHECKPOINT in place.names:
            found |= {entry.id for entry in await _entries_in(storage, place)}
        if place.day < day_of(since_s):
            break
    return frozenset(found)


async def survived(redis: Client, storage: Storage, key: PublicKey) -> Survived:
    """Compare the log in storage with what Redis has of it. Raises BadCheckpoint."""
    places, _ = places_in(await storage.keys(ROOM))
    places = [place for place in places if CHECKPOINT in place.names]
    size, newest_at, is_signed_with = 0, 0.0, True
    if places:
        note = await _note_in(storage, places[-1])
        size, is_signed_with = Checkpoint.parse(note).size, _signs(key, note)
        newest_at = max((entry.at for entry in await _entries_in(storage, places[-1])), default=0.0)
    sealed = await recently_sealed(redis, storage, places)
    lines = [fields[FIELD.encode()] for _, fields in await redis.xrange(STREAM)]
    unsealed = {entry.id: entry.at for entry in map(trail.decode, lines) if entry.id not in sealed}
    newest_at = max([newest_at, *unsealed.values()])
    return Survived(size, len(unsealed), newest_at, is_signed_with)


def _signs(key: PublicKey, note: str) -> bool:
    try:
        verified(note, key)
    except BadCheckpoint:
        return False
    return True


async def _note_in(storage: Storage, place: Place) -> str:
    return (await storage.get_bytes(place.key(CHECKPOINT))).decode()


async def _entries_in(storage: Storage, place: Place) -> list[Entry]:
    """The entries that a checkpoint has sealed; none if they were deleted, because they are old."""
    segment = Checkpoint.parse(await _note_in(storage, place)).segment
    if segment not in place.names:
        return []
    data = await storage.get_bytes(place.key(segment))
    return [trail.decode(line) for line in data.splitlines()]
