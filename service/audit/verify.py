"""Verifies that the log in storage is complete, unchanged and in order.

Only signed statements are trusted. Entries may be missing only if a checkpoint states their
deletion, and if they had reached the stated retention by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from service.audit.checkpoints import BadCheckpoint, Checkpoint, Edge, verify_with_any
from service.audit.stored_log import (
    CHECKPOINT,
    FOLDER,
    HEADS,
    LogFolder,
    day_of,
    earlier_keys,
    head_key,
    heads_in,
    list_folders,
)
from service.core import clock
from service.core.encryption.keyring import INSTALLATION, name_of
from service.core.encryption.master import MasterKeyError
from service.core.encryption.sealed import MAGIC
from service.core.encryption.signing import PublicKey
from service.core.storage import Storage, StorageCorrupt, StorageMissing, StorageRefused
from service.web import audit_trail
from service.web.audit_events import AuditEvent

_DAY_S: Final = 24 * 3600
_CLOCK_SKEW_S: Final = 600


class KeyMissing(Exception):
    """The log cannot be verified without a key. The message says which."""


@dataclass
class Findings:
    """Result of a verification. Without problems, nothing was changed, deleted or reordered."""

    entries: int = 0
    """Number of entries, including deleted ones."""
    deleted: int = 0
    """Number of entries deleted because of their age, according to signed checkpoints."""
    last_id: str | None = None
    """ID of the last entry that was read; None if all were deleted."""
    segments: int = 0
    newest: Checkpoint | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Facts that an auditor should know but that are not problems."""


@dataclass(frozen=True)
class _Deletion:
    """A checkpoint's statement that the entries before a number were old enough to delete."""

    upto: int
    time: int
    kept_days: int
    slack_s: int = 0


class _Verifier:
    """Verifies the log from its first entry to its last."""

    def __init__(
        self,
        storage: Storage,
        keys: Sequence[PublicKey],
        *,
        least_days: int,
        unstated_days: int,
    ) -> None:
        self._storage = storage
        self._keys = keys
        self._earlier: list[PublicKey] = []
        self._least_days = least_days
        self._unstated_days = unstated_days
        self._edge = Edge()
        self._ids: set[str] = set()
        self._deletions: list[_Deletion] = []
        self._missing_segments: list[tuple[int, Checkpoint]] = []
        self.roots: dict[int, bytes] = {}
        self.found = Findings()

    async def run(self, folders: Sequence[LogFolder], heads: Sequence[int]) -> None:
        self._earlier = await earlier_keys(self._storage, self._keys)
        for folder in folders:
            if CHECKPOINT in folder.names:
                await self._check_folder(folder, folder.key(CHECKPOINT))
            elif folder is not folders[-1]:
                self._problem(folder, "has no checkpoint")
            elif heads:
                await self._check_last(folder, head_key(heads[-1]))
        self.found.entries = self._edge.size
        for first, checkpoint in self._missing_segments:
            if (problem := self._why_not_deleted(first, checkpoint)) is not None:
                self.found.problems.append(problem)
            else:
                self.found.deleted = max(self.found.deleted, checkpoint.size)

    async def _check_last(self, folder: LogFolder, head: str) -> None:
        """Verify entries that a head sealed, and whose checkpoint is not stored yet."""
        with contextlib.suppress(BadCheckpoint):
            if self._signed(await self._bytes(head)).segment in folder.names:
                await self._check_folder(folder, head)

    async def check_newest_head(self, numbers: Sequence[int]) -> None:
        """Compare the newest head with the newest checkpoint stored with entries."""
        newest = self.found.newest
        if not numbers:
            return
        key = head_key(numbers[-1])
        try:
            head = self._signed(await self._bytes(key))
        except BadCheckpoint as e:
            self.found.problems.append(f"{key} is not valid: {e}")
            return
        if head.number != numbers[-1]:
            self.found.problems.append(f"{key} is the checkpoint {head.number}")
        elif newest is None or head.number > newest.number:
            self.found.problems.append(
                f"entries {self.found.entries} to {head.size - 1} are missing: {key} has sealed "
                f"{head.size} entries"
            )
        elif head.number == newest.number and head != newest:
            self.found.problems.append(f"{key} differs from the newest checkpoint")

    def check_gaps(self, numbers: Sequence[int]) -> None:
        """Find numbers of checkpoints that have no head."""
        last = self.found.newest.number if self.found.newest else 0
        if missing := sorted({*range(1, last + 1)} - {*numbers}):
            self.found.problems.append(
                f"{len(missing):,} heads are missing, the first of which is {head_key(missing[0])}"
            )

    async def _check_folder(self, folder: LogFolder, key: str) -> None:
        try:
            checkpoint = self._signed(await self._bytes(key))
        except (BadCheckpoint, StorageMissing) as e:
            self._problem(folder, f"has a checkpoint that is not valid: {e}")
            return
        before = self.found.newest
        if before is not None:
            self._compare(folder, before, checkpoint)
        if checkpoint.number and checkpoint.number != (before.number if before else 0) + 1:
            self._problem(folder, f"has the checkpoint {checkpoint.number}, which is not the next")
        if checkpoint.time > clock.now() + _CLOCK_SKEW_S:
            self._problem(folder, "has a checkpoint from the future")
        if checkpoint.pruned > (before.pruned if before else 0):
            self._deletions.append(
                _Deletion(checkpoint.pruned, checkpoint.time, checkpoint.kept_days)
            )
        if folder.number != self._edge.size:
            first, last = sorted((folder.number, self._edge.size))
            self.found.problems.append(f"entries {first} to {last - 1} are missing or duplicated")
        await self._read(folder, checkpoint)
        self.found.newest = checkpoint
        self.roots[checkpoint.size] = checkpoint.root
        self._edge = checkpoint.tree()

    def _compare(self, folder: LogFolder, before: Checkpoint, checkpoint: Checkpoint) -> None:
        """Compare a checkpoint with the one before it."""
        if checkpoint.origin != before.origin:
            self._problem(folder, f"belongs to another log, {checkpoint.origin}")
        if checkpoint.time < before.time:
            self._problem(folder, "is older than the one before it")
        if before.number and not checkpoint.number:
            self._problem(folder, "has a checkpoint without a number after one that has a number")
        if checkpoint.pruned < before.pruned:
            self._problem(folder, "takes back which entries were deleted")
        if before.number and checkpoint.kept_days != before.kept_days:
            self.found.notes.append(
                f"since {day_of(checkpoint.time)}, entries are kept {_kept(checkpoint.kept_days)} "
                f"instead of {_kept(before.kept_days)}"
            )

    async def _read(self, folder: LogFolder, checkpoint: Checkpoint) -> None:
        """Compare the entries of a folder with its checkpoint."""
        for name in folder.segments:
            if name != checkpoint.segment:
                self._problem(folder, f"has a file that is not part of the log: {name}")
        if checkpoint.segment not in folder.names:
            self._missing_segments.append((folder.number, checkpoint))
            return
        try:
            data = await self._bytes(folder.key(checkpoint.segment))
        except StorageMissing:  # deleted since it was listed, or its data key was erased
            self._missing_segments.append((folder.number, checkpoint))
            return
        except BadCheckpoint as e:
            self._problem(folder, f"has entries that cannot be read: {e}")
            return
        self.found.segments += 1
        if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
            self._problem(folder, "does not have the entries that were sealed")
            return
        # Thousands of entries take tens of milliseconds, in which an API process answers others.
        await asyncio.to_thread(self._check_entries, folder, data, checkpoint)

    def _check_entries(self, folder: LogFolder, data: bytes, checkpoint: Checkpoint) -> None:
        lines = data.split(b"\n")[:-1]
        self._edge.add(lines)
        if (self._edge.size, self._edge.root()) != (checkpoint.size, checkpoint.root):
            self._problem(folder, "does not continue the log before it")
        for line in lines:
            self._check_entry(folder, line, checkpoint)

    def _check_entry(self, folder: LogFolder, line: bytes, checkpoint: Checkpoint) -> None:
        try:
            entry = audit_trail.decode(line)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._problem(folder, "has an entry that cannot be read")
            return
        if entry.id in self._ids:
            self._problem(folder, f"has the entry {entry.id} twice")
        self._ids.add(entry.id)
        self.found.last_id = entry.id
        if entry.type == AuditEvent.PRUNED and not checkpoint.number:
            # Version 0.2.0 states deletions only here, and deleted by the day of the first entry.
            upto = entry.counts.get("entries", 0)
            self._deletions.append(
                _Deletion(upto, checkpoint.time, self._unstated_days, slack_s=_DAY_S)
            )

    def _why_not_deleted(self, first: int, checkpoint: Checkpoint) -> str | None:
        """Return why the entries up to a checkpoint must not be missing, or None if they may."""
        missing = f"entries {first} to {checkpoint.size - 1} are missing"
        reason = ""
        for deletion in self._deletions:
            if deletion.upto < checkpoint.size:
                continue
            kept_days = max(deletion.kept_days, self._least_days)
            age_s = deletion.time - checkpoint.time + deletion.slack_s
            if deletion.kept_days and age_s >= kept_days * _DAY_S:
                return None
            reason = reason or (
                f": on {day_of(deletion.time)}, when they were deleted as too old, they were from "
                f"{day_of(checkpoint.time)}, and had to be kept "
                f"{_kept(kept_days if deletion.kept_days else 0)}"
            )
        return missing + reason

    async def _bytes(self, key: str) -> bytes:
        """Read an object. Raises BadCheckpoint if it was damaged, and KeyMissing without a key."""
        try:
            data = await self._storage.get_bytes(key)
        except StorageCorrupt as e:
            raise BadCheckpoint(str(e)) from e
        except StorageRefused as e:
            if isinstance(e.__cause__, MasterKeyError):
                raise KeyMissing(str(e)) from e
            raise
        if self._storage.keyring is None and data.startswith(MAGIC):
            try:
                await self._storage.stat(name_of(INSTALLATION))
            except StorageMissing as e:
                raise BadCheckpoint("it is encrypted, and storage has no data key of it") from e
            raise KeyMissing(
                f"{key} is encrypted: set FINETUNED_ENCRYPTION_KEY_FILE, or whatever else gives "
                "the workers the master key"
            )
        return data

    def _signed(self, note: bytes) -> Checkpoint:
        text = note.decode("utf-8", "replace")
        try:
            return verify_with_any(text, self._keys)
        except BadCheckpoint:
            if not self._earlier or Checkpoint.parse(text).number:
                raise
        return verify_with_any(text, self._earlier)

    def _problem(self, folder: LogFolder, what: str) -> None:
        self.found.problems.append(f"{folder.path} {what}")


def _kept(days: int) -> str:
    return f"for {days} days" if days else "forever"


async def verify(
    storage: Storage,
    keys: Sequence[PublicKey],
    known: Sequence[str] = (),
    *,
    least_days: int = 0,
    unstated_days: int = 0,
) -> Findings:
    """Verify the log in storage.

    `known` are checkpoints from elsewhere, such as Redis or the witness: the log must contain each
    of them. `least_days` is the minimum age of deleted entries, whatever checkpoints say, and
    `unstated_days` the minimum age if a checkpoint states none, as those without a number.

    Raises KeyMissing and StorageError.
    """
    heads, _ = heads_in(await storage.keys(HEADS))  # first: their entries are there already
    folders, unknown = list_folders(await storage.keys(FOLDER))
    verifier = _Verifier(storage, keys, least_days=least_days, unstated_days=unstated_days)
    await verifier.run(folders, heads)
    await verifier.check_newest_head(heads)
    heads, not_heads = heads_in(await storage.keys(HEADS))  # and what was sealed since
    verifier.check_gaps(heads)
    unknown += not_heads
    found = verifier.found
    found.problems += [f"{key} is not part of the log" for key in unknown]
    for note in known:
        try:
            checkpoint = Checkpoint.parse(note)
        except BadCheckpoint as e:
            found.problems.append(f"a known checkpoint is not valid: {e}")
            continue
        root = verifier.roots.get(checkpoint.size)
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
