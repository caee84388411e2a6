"""What of the audit log is sealed in storage, also after a loss of Redis."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from service.audit.checkpoints import BadCheckpoint, Checkpoint, verified_by_any
from service.audit.places import (
    CHECKPOINT,
    HEADS,
    ROOM,
    Place,
    day_of,
    head_key,
    heads_in,
    places_in,
)
from service.core.encryption.signing import PublicKey
from service.core.redis import Client
from service.core.storage import Storage
from service.web import audit_trail
from service.web.audit_events import OF_THE_LOG
from service.web.audit_trail import FIELD, STREAM, Entry

log = logging.getLogger(__name__)
_CLOCKS_DIFFER_S: Final = 600.0
_LAST_S: Final = 253_402_300_800  # the end of the year 9999


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
    """Whether one of the given keys signed the sealed entries; true if there are none."""


def believed(found: Iterable[Mapping[bytes, bytes]]) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entries of the stream, each with its line.

    Who can write to Redis can write anything to the stream. What is not an entry, and what only the
    log says about itself, is left out.
    """
    for fields in found:
        line = fields.get(FIELD.encode(), b"")
        try:
            entry = audit_trail.decode(line)
        except (msgspec.DecodeError, ValueError):
            log.error("the stream of the audit log has something that is not an entry")
            continue
        if entry.type in OF_THE_LOG:
            log.error("the stream of the audit log has a forged entry: %s", entry.type)
        elif b"\n" in line or not 0 <= entry.at < _LAST_S:
            log.error("the stream of the audit log has an entry that the service does not write")
        else:
            yield entry, line


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
            try:
                found |= {entry.id for entry in await _entries_in(storage, place)}
            except (msgspec.DecodeError, ValueError) as e:
                log.error("%s of the audit log cannot be read: %s", place.folder, e)
        if place.day < day_of(since_s):
            break
    return frozenset(found)


async def earlier_keys(storage: Storage, keys: Sequence[PublicKey]) -> list[PublicKey]:
    """The keys that the newest head, if it is signed with these, names as earlier ones.

    Raises StorageError.
    """
    heads, _ = heads_in(await storage.keys(HEADS))
    for number in heads[-1:]:
        note = (await storage.get_bytes(head_key(number))).decode("utf-8", "replace")
        if _is_signed(note, keys):
            return [PublicKey.from_raw(raw) for raw in Checkpoint.parse(note).earlier_keys]
    return []


async def survived(redis: Client, storage: Storage, keys: Sequence[PublicKey]) -> Survived:
    """Compare the log in storage with what Redis has of it. Raises BadCheckpoint."""
    places, _ = places_in(await storage.keys(ROOM))
    places = [place for place in places if CHECKPOINT in place.names]
    size, newest_at, is_signed_with = 0, 0.0, True
    if places:
        note = await _note_in(storage, places[-1])
        size, is_signed_with = Checkpoint.parse(note).size, _is_signed(note, keys)
        newest_at = max((entry.at for entry in await _entries_in(storage, places[-1])), default=0.0)
    sealed = await recently_sealed(redis, storage, places)
    stream = believed(fields for _, fields in await redis.xrange(STREAM))
    unsealed = {entry.id: entry.at for entry, _ in stream if entry.id not in sealed}
    newest_at = max([newest_at, *unsealed.values()])
    return Survived(size, len(unsealed), newest_at, is_signed_with)


def _is_signed(note: str, keys: Sequence[PublicKey]) -> bool:
    try:
        verified_by_any(note, keys)
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
    return [audit_trail.decode(line) for line in data.splitlines()]
