"""Seals the audit log: moves entries from Redis to storage, where changes are detected.

    finetuned:audit-head      the newest checkpoint
    finetuned:audit-sealer    the worker that may replace it
    finetuned:signing-key     private key of version 0.2.0, which had it in Redis

The entries are written to storage first. Then they are sealed by a head, the checkpoint under its
number, which storage takes only once. A transaction removes them from the stream and replaces the
checkpoint in Redis, if no other worker has taken over. So each entry is sealed once, no matter
which process dies, or when.

The log continues from the signed checkpoint with the highest number, whether it is in Redis, among
the heads or with its entries. So a log that was rolled back in one of these places continues after
the missing entries, which verifications then report. Entries that were sealed but are still in the
stream are recognized by their IDs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from redis.asyncio.client import Pipeline

from service.audit.checkpoints import (
    BadCheckpoint,
    Checkpoint,
    Edge,
    digest_of,
    sign_checkpoint,
    verify_with_any,
)
from service.audit.stored_log import (
    CHECKPOINT,
    FOLDER,
    HEADS,
    LogFolder,
    day_of,
    head_key,
    heads_in,
    list_folders,
    recently_sealed,
    valid_entries,
)
from service.core import clock, ids
from service.core.encryption.signing import InstallationKey, PublicKey, SigningKey
from service.core.records import PREFIX
from service.core.redis import Client, reply, text
from service.core.redis.transactions import Write, commit
from service.core.storage import Storage
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import STREAM, SYSTEM, Entry

log = logging.getLogger(__name__)
HEAD: Final = f"{PREFIX}:audit-head"
_SEALER: Final = f"{PREFIX}:audit-sealer"
_EARLIER_KEY: Final = f"{PREFIX}:signing-key"
WITNESSED: Final = f"{PREFIX}:audit-to-witness"
_MAX_WITNESS_QUEUE: Final = 10_000
_BATCH: Final = 5000
_MAX_HEADS: Final = 100
_SEAL_NOW_ENTRIES: Final = 2000
_DAY_S: Final = 24 * 3600


class Overtaken(Exception):
    """Another worker has sealed in the meantime."""


class Sealer:
    """Seals entries. Create a new one each time a worker acquires the lease."""

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
        self._earlier: PublicKey | None = None
        self._own: list[Entry] = []
        """Entries about the log itself, to seal with the next ones."""
        self._unused: list[str] = []
        """Keys of files that another worker may still seal, unless this one does first."""

    async def resume(self) -> None:
        """Take over from other workers, and find the newest checkpoint.

        Raises BadCheckpoint, REDIS_ERRORS, StorageError and SigningKeyError.
        """
        await self._redis.set(_SEALER, self._token)  # first: no other worker may seal now
        folders, _ = list_folders(await self._storage.keys(FOLDER))
        heads, _ = heads_in(await self._storage.keys(HEADS))
        in_redis = (await reply(self._redis.get(HEAD)) or b"").decode("utf-8", "replace")
        self._earlier = None if heads else await self._key_in_redis()
        keys = self._keys(is_new=self._earlier is not None or not (in_redis or heads or folders))
        notes = [in_redis, await self._newest_head(heads, keys)]
        with_checkpoint = [folder for folder in folders if CHECKPOINT in folder.names]
        notes += [await self._note_at(folder.key(CHECKPOINT)) for folder in with_checkpoint[-1:]]
        self._note, self._head = _newest(notes, keys)
        head = self._head
        self._origin = head.origin if head else f"finetuned-audit-{ids.random_part(12)}"
        if self._note != in_redis:
            async with self._redis.pipeline() as pipe:
                self._publish(pipe, self._note)
                await pipe.execute()
        self._own = self._entries_about_log(head, keys)
        size = head.size if head else 0
        self._unused = [
            folder.key(name)
            for folder in folders
            if folder.number == size and CHECKPOINT not in folder.names
            for name in folder.segments
        ]
        if head is not None:
            await self._restore_heads(with_checkpoint, keys, heads[-1] if heads else 0)
            await self._complete(head, folders)
            self._sealed = await recently_sealed(self._redis, self._storage, folders)
        if heads:
            await self._redis.delete(_EARLIER_KEY)

    async def _note_at(self, key: str) -> str:
        return (await self._storage.get_bytes(key)).decode("utf-8", "replace")

    async def _newest_head(self, heads: Sequence[int], keys: Sequence[PublicKey]) -> str:
        """Return the newest valid head, skipping objects of other programs."""
        newest = ""
        for number in heads[:-_MAX_HEADS:-1]:
            note = await self._note_at(head_key(number))
            newest = newest or note
            if _is_head(note, number, keys):
                return note
        return newest

    async def _key_in_redis(self) -> PublicKey | None:
        """Return the public key of version 0.2.0, whose private key all processes could read."""
        pem = await reply(self._redis.get(_EARLIER_KEY))
        return None if pem is None else SigningKey.from_pem(pem).public

    def _keys(self, *, is_new: bool) -> list[PublicKey]:
        """Return the keys that may have signed the newest checkpoint, the installation's first.

        A key is made only for a new log. Otherwise, this worker lacks the key of the others.
        """
        if is_new and not self._key.exists:
            self._key.make()
        key = self._key.get().public
        return [key] if self._earlier is None else [key, self._earlier]

    def _entries_about_log(self, head: Checkpoint | None, keys: Sequence[PublicKey]) -> list[Entry]:
        """Return entries about changes of key or retention since the newest checkpoint."""
        found = []
        if self._earlier is not None:
            objects = (self._earlier.id, keys[0].id)
            found.append(_entry(AuditEvent.SIGNING_KEY_REPLACED, objects=objects))
        if head is not None and head.number and head.kept_days != self._kept_days:
            counts = {"days_before": head.kept_days, "days": self._kept_days}
            found.append(_entry(AuditEvent.RETENTION_UPDATED, counts=counts))
        return found

    async def _restore_heads(
        self, folders: Sequence[LogFolder], keys: Sequence[PublicKey], newest: int
    ) -> None:
        """Write heads that a restored backup lacks because they were written after its listing."""
        for folder in folders[:-_MAX_HEADS:-1]:
            note = await self._note_at(folder.key(CHECKPOINT))
            try:
                checkpoint = verify_with_any(note, keys)
            except BadCheckpoint:
                return
            if checkpoint.number <= newest:
                return
            await self._storage.create_bytes(head_key(checkpoint.number), note.encode())

    async def _complete(self, head: Checkpoint, folders: Sequence[LogFolder]) -> None:
        """Write the checkpoint that the sealing worker did not write, and remove unused files."""
        mine = [p for p in folders if p.number < head.size and head.segment in p.names][-1:]
        for folder in mine:
            await self._storage.put_bytes(folder.key(CHECKPOINT), self._note.encode())
            folder.names.add(CHECKPOINT)
        for folder in folders:
            if folder in mine or (CHECKPOINT not in folder.names and folder.number < head.size):
                for name in folder.segments:
                    if name != head.segment:
                        await self._storage.delete(folder.key(name))
        if not mine:
            log.error(
                "the audit log was rolled back, or its newest entries were lost: storage lacks "
                "entries that the checkpoint of %d entries has sealed. Run 'finetuned-server audit "
                "verify'",
                head.size,
            )
            counts = {"entries": head.size}
            self._own.append(_entry(AuditEvent.ROLLED_BACK, counts=counts))

    async def seal(self, *, now: bool = False) -> int:
        """Seal entries if the oldest is due or there are many, or if `now`. Returns their number.

        Raises BadCheckpoint, Overtaken, REDIS_ERRORS, StorageError and
        SigningKeyError.
        """
        found = await self._redis.xrange(STREAM, count=_BATCH)
        if not found and not self._own:
            return 0
        if found and not now and not self._own and len(found) < _SEAL_NOW_ENTRIES:
            age_s = clock.now() - int(found[0][0].split(b"-")[0]) / 1000
            if age_s < self._every_s:
                return 0
        new: dict[str, bytes] = {}  # a client may have written an entry twice
        for entry, line in valid_entries([fields for _, fields in found]):
            if entry.id not in self._sealed:
                new.setdefault(entry.id, line)
        old, pruned = await self._old_segments()
        own = list(self._own)
        if old:
            own.append(_entry(AuditEvent.PRUNED, counts={"entries": pruned}))
        lines = [*new.values(), *(entry.encode() for entry in own)]
        if not lines:
            await self._redis.xdel(STREAM, *(stream_id for stream_id, _ in found))
            return 0
        await self._seal(lines, [stream_id for stream_id, _ in found], pruned)
        self._sealed = frozenset(new)
        for key in old:
            await self._storage.delete(key)
        return len(lines)

    async def _seal(self, lines: list[bytes], stream_ids: list[bytes], pruned: int) -> None:
        size = self._head.size if self._head else 0
        folder = LogFolder(day_of(audit_trail.decode(lines[0]).at), size)
        segment = f"{ids.random_part()}.jsonl"
        await self._storage.put_bytes(folder.key(segment), b"".join(line + b"\n" for line in lines))
        checkpoint = self._checkpoint(lines, segment, pruned)
        note = sign_checkpoint(checkpoint, self._key.get())
        try:
            await self._check_token()
            await self._create_head(checkpoint.number, note)
        except (Overtaken, BadCheckpoint):
            await self._storage.delete(folder.key(segment))
            raise
        await self._replace(note, stream_ids)
        self._head, self._note, self._own = checkpoint, note, []
        await self._storage.put_bytes(folder.key(CHECKPOINT), note.encode())
        for key in self._unused:
            await self._storage.delete(key)
        self._unused = []
        if self._earlier is not None:
            await self._redis.delete(_EARLIER_KEY)
            self._earlier = None

    def _checkpoint(self, lines: Sequence[bytes], segment: str, pruned: int) -> Checkpoint:
        edge = self._head.tree() if self._head else Edge()
        edge.add(lines)
        time = max(clock.now_s(), self._head.time if self._head else 0)
        found = Checkpoint.after(
            self._origin, edge, self._head, time=time, segment=segment, sha256=digest_of(lines)
        )
        earlier = found.earlier_keys if self._earlier is None else (self._earlier.raw,)
        return replace(
            found,
            pruned=max(found.pruned, pruned),
            kept_days=self._kept_days,
            earlier_keys=earlier,
        )

    async def _check_token(self) -> None:
        """Raise Overtaken if another worker has taken over."""
        if text(await reply(self._redis.get(_SEALER)) or "") != self._token:
            raise Overtaken

    async def _create_head(self, number: int, note: str) -> None:
        """Seal the entries of a checkpoint. From here on, they are part of the log.

        Raises Overtaken if another worker has sealed with this number, and BadCheckpoint if
        something else is there.
        """
        key = head_key(number)
        if await self._storage.create_bytes(key, note.encode()):
            return
        there = await self._note_at(key)
        if there == note:
            return  # storage has it, and the response was lost
        if not _is_head(there, number, [self._key.get().public]):
            raise BadCheckpoint(
                f"{key} is not the checkpoint {number} of this log. Run 'finetuned-server audit "
                "verify', and remove it if another program has written it"
            )
        log.warning("another worker has written %s", key)
        raise Overtaken

    async def _replace(self, note: str, stream_ids: list[bytes]) -> None:
        before = self._note

        async def decide(pipe: Pipeline) -> tuple[None, Write]:
            token = text(await pipe.get(_SEALER) or "")
            if token != self._token or text(await pipe.get(HEAD) or "") != before:
                raise Overtaken
            return None, write

        def write(pipe: Pipeline) -> None:
            self._publish(pipe, note)
            if stream_ids:
                pipe.xdel(STREAM, *stream_ids)

        await commit(self._redis, [HEAD, _SEALER], decide)

    def _publish(self, pipe: Pipeline, note: str) -> None:
        pipe.set(HEAD, note)
        if self._has_witness:
            pipe.rpush(WITNESSED, note)
            pipe.ltrim(WITNESSED, -_MAX_WITNESS_QUEUE, -1)

    async def _old_segments(self) -> tuple[list[str], int]:
        """Find segments to delete because of their age, once a day.

        Returns their keys, and the number of the first entry that stays; 0 if unknown.
        """
        today, head = day_of(clock.now()), self._head
        if head is None or not self._kept_days or self._pruned_on == today:
            return [], 0
        found, _ = list_folders(await self._storage.keys(FOLDER))
        folders = [p for p in found if CHECKPOINT in p.names and p.number < head.size]
        oldest_s = clock.now() - self._kept_days * _DAY_S
        first, end, pruned = 0, len(folders), 0
        try:
            while first < end:  # a checkpoint is at least as new as the one before it
                middle = (first + end) // 2
                checkpoint = await self._checkpoint_in(folders[middle])
                if checkpoint.time < oldest_s:
                    first, pruned = middle + 1, checkpoint.size
                else:
                    end = middle
            if first and pruned != [*(p.number for p in folders), head.size][first]:
                raise BadCheckpoint("the entries after the old ones are missing")
        except BadCheckpoint as e:
            log.error("old entries of the audit log are not deleted: %s", e)
            first = pruned = 0
        self._pruned_on = today
        return [folder.key(name) for folder in folders[:first] for name in folder.segments], pruned

    async def _checkpoint_in(self, folder: LogFolder) -> Checkpoint:
        return Checkpoint.parse(await self._note_at(folder.key(CHECKPOINT)))


def _entry(
    event: AuditEvent, *, objects: tuple[str, ...] = (), counts: dict[str, int] | None = None
) -> Entry:
    """Return an entry about the log itself."""
    at = clock.now()
    return Entry(
        id=audit_trail.new_id(at),
        at=round(at, 3),
        type=event,
        actor=SYSTEM,
        outcome="applied",
        objects=objects,
        counts=counts or {},
    )


def _is_head(note: str, number: int, keys: Sequence[PublicKey]) -> bool:
    """Return whether a note is the checkpoint with this number, signed with one of the keys."""
    try:
        return verify_with_any(note, keys).number == number
    except BadCheckpoint:
        return False


def _newest(notes: Sequence[str], keys: Sequence[PublicKey]) -> tuple[str, Checkpoint | None]:
    """Return the note of the newest checkpoint, and the checkpoint. Signed ones come first.

    If the key file was lost, the log continues with another key, and verifications name both.
    """
    found: list[tuple[bool, int, int, str, Checkpoint]] = []
    problem: BadCheckpoint | None = None
    for note in filter(None, notes):
        try:
            checkpoint = Checkpoint.parse(note)
        except BadCheckpoint as e:
            problem = e
            continue
        is_signed = True
        try:
            verify_with_any(note, keys)
        except BadCheckpoint as e:
            problem, is_signed = e, False
        found.append((is_signed, checkpoint.number, checkpoint.size, note, checkpoint))
    if not found and problem is not None:
        raise problem
    if not found:
        return "", None
    is_signed, _, _, note, checkpoint = max(found, key=lambda each: each[:3])
    if not is_signed:
        log.warning(
            "the newest checkpoint of the audit log is not signed with the key of this "
            "installation: %s. Unless the key was changed or lost, the log was changed",
            problem,
        )
    return note, checkpoint
