"""Sealing: entries move from Redis to storage, where none can be changed unnoticed.

    finetuned:audit-head      the newest checkpoint
    finetuned:audit-sealer    the worker that may replace it

The entries are written to storage first. Then one transaction removes them from the stream and
replaces the checkpoint, if it is still the one before, and if no other worker has taken over. So
each entry is sealed once, no matter which process dies, or when.

After a loss of Redis, the newest checkpoint in storage continues the log. What an older state of
Redis still has in the stream, although it was sealed, is then recognized by its ID.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from redis.asyncio.client import Pipeline

from service.audit.checkpoints import BadCheckpoint, Checkpoint, digest_of, signed, verified
from service.audit.places import CHECKPOINT, ROOM, Place, day_of, places_in
from service.audit.sealed import recently_sealed
from service.core import clock, ids, trail
from service.core.audit_events import AuditEvent
from service.core.records import PREFIX
from service.core.redis import Client, reply, text
from service.core.signing import InstallationKey, PublicKey
from service.core.storage import Storage
from service.core.trail import FIELD, STREAM, SYSTEM, Entry
from service.core.transactions import Write, commit

log = logging.getLogger(__name__)
HEAD: Final = f"{PREFIX}:audit-head"
_SEALER: Final = f"{PREFIX}:audit-sealer"
WITNESSED: Final = f"{PREFIX}:audit-to-witness"
_MOST_WAITING: Final = 10_000
_AT_ONCE: Final = 5000
_ENOUGH: Final = 2000
_DAY_S: Final = 24 * 3600


class Overtaken(Exception):
    """Another worker has sealed in the meantime."""


class Sealer:
    """Seals entries. Create one for each time that a worker becomes the one that does."""

    def __init__(
        self,
        redis: Client,
        storage: Storage,
        key: InstallationKey,
        *,
        every_s: float,
        kept_days: int,
        has_witness: bool = False,
    ) -> None:
        self._redis = redis
        self._storage = storage
        self._key = key
        self._every_s = every_s
        self._kept_days = kept_days
        self._has_witness = has_witness
        self._token = ids.random_part()
        self._head: Checkpoint | None = None
        self._note = ""
        self._origin = ""
        self._sealed: frozenset[str] = frozenset()
        self._pruned_on = ""

    async def resume(self) -> None:
        """Take over from other workers, and find the newest checkpoint, in Redis or in storage.

        Raises BadCheckpoint, REDIS_ERRORS, StorageError and SigningKeyError.
        """
        key = (await self._key.get()).public
        await self._redis.set(_SEALER, self._token)  # first: now nobody else replaces the head
        places, _ = places_in(await self._storage.keys(ROOM))
        with_checkpoint = [place for place in places if CHECKPOINT in place.names]
        note = text(await reply(self._redis.get(HEAD)) or "")
        head = Checkpoint.parse(note) if note else None
        if with_checkpoint:
            raw = await self._storage.get_bytes(with_checkpoint[-1].key(CHECKPOINT))
            stored = Checkpoint.parse(raw.decode())
            if head is None or stored.size > head.size:
                note, head = raw.decode(), stored
                _warn_of_other_keys(note, key)
                await self._redis.set(HEAD, note)
        self._note, self._head = note, head
        self._origin = head.origin if head else f"finetuned-audit-{ids.random_part(12)}"
        if head is not None:
            await self._complete(head, places)
            self._sealed = await recently_sealed(self._redis, self._storage, places)

    async def _complete(self, head: Checkpoint, places: Sequence[Place]) -> None:
        """Write the head to storage if its worker was killed first, and remove unused files."""
        for place in places:
            is_head = head.segment in place.names
            if is_head:
                await self._storage.put_bytes(place.key(CHECKPOINT), self._note.encode())
                place.names.add(CHECKPOINT)
            if is_head or CHECKPOINT not in place.names:
                for name in place.segments:
                    if name != head.segment:
                        await self._storage.delete(place.key(name))

    async def seal(self, *, now: bool = False) -> int:
        """Seal entries if the oldest is due or there are many. Returns their number.

        `now` seals all. Raises Overtaken, REDIS_ERRORS, StorageError and SigningKeyError.
        """
        found = await self._redis.xrange(STREAM, count=_AT_ONCE)
        if not found:
            return 0
        age_s = clock.now() - int(found[0][0].split(b"-")[0]) / 1000
        if not now and len(found) < _ENOUGH and age_s < self._every_s:
            return 0
        new: dict[str, bytes] = {}  # a client may have written an entry twice
        for _, fields in found:
            line = fields[FIELD.encode()]
            entry_id = trail.decode(line).id
            if entry_id not in self._sealed:
                new.setdefault(entry_id, line)
        lines = [*new.values()]
        old = await self._old_places()
        if old:
            lines.append(await self._note_pruned(old))
        if not lines:
            await self._redis.xdel(STREAM, *(stream_id for stream_id, _ in found))
            return 0
        await self._seal(lines, [stream_id for stream_id, _ in found])
        self._sealed = frozenset(new)
        for place in old:
            for name in place.segments:
                await self._storage.delete(place.key(name))
        return len(lines)

    async def _seal(self, lines: list[bytes], stream_ids: list[bytes]) -> None:
        size = self._head.size if self._head else 0
        place = Place(day_of(trail.decode(lines[0]).at), size)
        segment = f"{ids.random_part()}.jsonl"
        await self._storage.put_bytes(place.key(segment), b"".join(line + b"\n" for line in lines))
        try:
            checkpoint, note = await self._checkpoint(lines, segment)
            await self._replace(note, stream_ids)
        except Overtaken:
            await self._storage.delete(place.key(segment))
            raise
        self._head, self._note = checkpoint, note
        await self._storage.put_bytes(place.key(CHECKPOINT), note.encode())

    async def _checkpoint(self, lines: Sequence[bytes], segment: str) -> tuple[Checkpoint, str]:
        edge = self._head.tree() if self._head else Checkpoint.empty()
        edge.add(lines)
        time = max(clock.now_s(), self._head.time if self._head else 0)
        checkpoint = Checkpoint.of(
            self._origin, edge, time=time, segment=segment, sha256=digest_of(lines)
        )
        return checkpoint, signed(checkpoint, await self._key.get())

    async def _replace(self, note: str, stream_ids: list[bytes]) -> None:
        before = self._note

        async def decide(pipe: Pipeline) -> tuple[None, Write]:
            token = text(await pipe.get(_SEALER) or "")
            if token != self._token or text(await pipe.get(HEAD) or "") != before:
                raise Overtaken
            return None, write

        def write(pipe: Pipeline) -> None:
            pipe.set(HEAD, note)
            pipe.xdel(STREAM, *stream_ids)
            if self._has_witness:
                pipe.rpush(WITNESSED, note)
                pipe.ltrim(WITNESSED, -_MOST_WAITING, -1)

        await commit(self._redis, [HEAD, _SEALER], decide)

    async def _old_places(self) -> list[Place]:
        """The folders whose entries are to be deleted; looked for once a day."""
        today = day_of(clock.now())
        if not self._kept_days or self._pruned_on == today:
            return []
        before = day_of(clock.now() - self._kept_days * _DAY_S)
        found = []
        for day in await self._storage.folders(ROOM):
            if day < before:
                places, _ = places_in(await self._storage.keys(f"{ROOM}/{day}"))
                found += [place for place in places if place.segments]
        self._pruned_on = today
        return found

    async def _note_pruned(self, places: Sequence[Place]) -> bytes:
        """The entry that allows the entries up to a number to be missing."""
        raw = await self._storage.get_bytes(places[-1].key(CHECKPOINT))
        upto = Checkpoint.parse(raw.decode()).size
        at = clock.now()
        return Entry(
            id=trail.new_id(at),
            at=round(at, 3),
            type=AuditEvent.PRUNED,
            actor=SYSTEM,
            outcome="applied",
            counts={"entries": upto},
        ).encode()


def _warn_of_other_keys(note: str, key: PublicKey) -> None:
    """A key that was in Redis is lost with it. The log continues, and verifications name both."""
    try:
        verified(note, key)
    except BadCheckpoint as e:
        log.warning(
            "the newest checkpoint of the audit log in storage is not signed with the key of this "
            "installation: %s. Unless the key was changed or lost, the log was changed",
            e,
        )
