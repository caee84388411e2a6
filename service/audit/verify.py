"""Verification that the log in storage is the one that was sealed, complete and in order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from service.audit.checkpoints import BadCheckpoint, Checkpoint, verified
from service.audit.merkle import Edge
from service.audit.places import CHECKPOINT, ROOM, Place, places_in
from service.core import trail
from service.core.audit_events import AuditEvent
from service.core.signing import PublicKey
from service.core.storage import Storage, StorageMissing


@dataclass
class Findings:
    """What a verification found. Without problems, nothing was changed, deleted or reordered."""

    entries: int = 0
    """How many entries the log has, deleted ones included."""
    deleted: int = 0
    """How many of them were deleted because they were old, as the log itself says."""
    segments: int = 0
    newest: Checkpoint | None = None
    problems: list[str] = field(default_factory=list)


class _Walk:
    """A walk through the log, from its first entry to its last."""

    def __init__(self, storage: Storage, keys: Sequence[PublicKey]) -> None:
        self._storage = storage
        self._keys = keys
        self._edge = Edge()
        self._ids: set[str] = set()
        self._may_lack = 0
        self._lacks: list[tuple[int, int]] = []
        self.roots: dict[int, bytes] = {}
        self.found = Findings()

    async def through(self, places: Sequence[Place]) -> None:
        for place in places:
            if CHECKPOINT in place.names:
                await self._step(place)
            elif place is not places[-1]:
                self._problem(place, "has no checkpoint")
        self.found.entries = self._edge.size
        for first, end in self._lacks:
            if end <= self._may_lack:
                self.found.deleted = max(self.found.deleted, end)
            else:
                self.found.problems.append(f"entries {first} to {end - 1} are missing")

    async def _step(self, place: Place) -> None:
        raw = await self._storage.get_bytes(place.key(CHECKPOINT))
        try:
            checkpoint = self._signed(raw.decode())
        except (BadCheckpoint, UnicodeDecodeError) as e:
            self._problem(place, f"has a checkpoint that is not valid: {e}")
            return
        before = self.found.newest
        if before is not None and checkpoint.origin != before.origin:
            self._problem(place, f"belongs to another log, {checkpoint.origin}")
        if before is not None and checkpoint.time < before.time:
            self._problem(place, "is older than the one before it")
        if place.number != self._edge.size:
            first, last = sorted((place.number, self._edge.size))
            self.found.problems.append(f"entries {first} to {last - 1} are missing or duplicated")
        await self._read(place, checkpoint)
        self.found.newest = checkpoint
        self.roots[checkpoint.size] = checkpoint.root
        self._edge = checkpoint.tree()

    async def _read(self, place: Place, checkpoint: Checkpoint) -> None:
        """Compare the entries of a folder with its checkpoint."""
        for name in place.segments:
            if name != checkpoint.segment:
                self._problem(place, f"has a file that is not part of the log: {name}")
        if checkpoint.segment not in place.names:
            self._lacks.append((place.number, checkpoint.size))
            return
        try:
            data = await self._storage.get_bytes(place.key(checkpoint.segment))
        except StorageMissing:
            self._lacks.append((place.number, checkpoint.size))
            return
        self.found.segments += 1
        if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
            self._problem(place, "does not have the entries that were sealed")
            return
        lines = data.split(b"\n")[:-1]
        self._edge.add(lines)
        if (self._edge.size, self._edge.root()) != (checkpoint.size, checkpoint.root):
            self._problem(place, "does not continue the log before it")
        for line in lines:
            self._note(place, line)

    def _note(self, place: Place, line: bytes) -> None:
        try:
            entry = trail.decode(line)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._problem(place, "has an entry that cannot be read")
            return
        if entry.id in self._ids:
            self._problem(place, f"has the entry {entry.id} twice")
        self._ids.add(entry.id)
        if entry.type == AuditEvent.PRUNED and entry.actor.kind == "system":
            self._may_lack = max(self._may_lack, entry.counts.get("entries", 0))

    def _signed(self, note: str) -> Checkpoint:
        problem = BadCheckpoint("there is no key to verify it with")
        for key in self._keys:
            try:
                return verified(note, key)
            except BadCheckpoint as e:
                problem = e
        raise problem

    def _problem(self, place: Place, what: str) -> None:
        self.found.problems.append(f"{place.folder} {what}")


async def verify(
    storage: Storage, keys: Sequence[PublicKey], known: Sequence[str] = ()
) -> Findings:
    """Verify the log in storage.

    `known` are checkpoints from elsewhere, such as Redis or the witness: the log must contain each
    of them. Raises StorageError.
    """
    places, unknown = places_in(await storage.keys(ROOM))
    walk = _Walk(storage, keys)
    await walk.through(places)
    found = walk.found
    found.problems += [f"{key} is not part of the log" for key in unknown]
    for note in known:
        try:
            checkpoint = Checkpoint.parse(note)
        except BadCheckpoint as e:
            found.problems.append(f"a known checkpoint is not valid: {e}")
            continue
        root = walk.roots.get(checkpoint.size)
        if checkpoint.size > found.entries:
            found.problems.append(
                f"entries {found.entries} to {checkpoint.size - 1} are missing: there is a "
                f"checkpoint of {checkpoint.size} entries"
            )
        elif root != checkpoint.root:
            found.problems.append(
                f"the log of {checkpoint.size} entries differs from the one of a known checkpoint"
            )
    return found
