"""Reads the stored audit log: its layout, and which entries are sealed, also after Redis is lost.

    audit/{day}/{number}/checkpoint       the state of the log after these entries, signed
    audit/{day}/{number}/{random}.jsonl   the entries, one per line

`number` is that of the first entry, and `day` is its day in UTC. A killed worker may leave a file
that the checkpoint does not name; the next worker removes it.

    audit-heads/{number}                  the checkpoint with this number, written only once

Heads are never replaced, deleted or encrypted. After a rollback, the entries of a head are
missing.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec

from service.audit.checkpoints import BadCheckpoint, Checkpoint, verify_with_any
from service.core.encryption.keyring import AUDIT_HEADS
from service.core.encryption.signing import PublicKey
from service.core.redis import Client
from service.core.storage import Storage
from service.web import audit_trail
from service.web.audit_events import OF_THE_LOG
from service.web.audit_trail import FIELD, STREAM, Entry

FOLDER: Final = "audit"
HEADS: Final = AUDIT_HEADS
CHECKPOINT: Final = "checkpoint"
_HEAD: Final = re.compile(rf"{HEADS}/(?P<number>\d{{12}})")
_KEY: Final = re.compile(
    rf"{FOLDER}/(?P<day>\d{{4}}-\d\d-\d\d)/(?P<number>\d{{12}})/(?P<name>{CHECKPOINT}|\w+\.jsonl)"
)
log = logging.getLogger(__name__)
_CLOCK_SKEW_S: Final = 600.0
_LAST_S: Final = 253_402_300_800  # the end of the year 9999


@dataclass
class LogFolder:
    """A folder with entries: the number of the first of them, and its day."""

    day: str
    number: int
    names: set[str] = field(default_factory=set)

    @property
    def path(self) -> str:
        """The key of the folder."""
        return f"{FOLDER}/{self.day}/{self.number:012}"

    @property
    def segments(self) -> list[str]:
        """The names of the files with entries."""
        return sorted(self.names - {CHECKPOINT})

    def key(self, name: str) -> str:
        """Return the key of an object in the folder."""
        return f"{self.path}/{name}"


def head_key(number: int) -> str:
    """Return the key of the head with this number."""
    return f"{HEADS}/{number:012}"


def heads_in(keys: Iterable[str]) -> tuple[list[int], list[str]]:
    """Return the sorted numbers of the heads, and the keys that are not heads."""
    names = [(key, _HEAD.fullmatch(key)) for key in keys]
    numbers = sorted(int(match["number"]) for _, match in names if match)
    return numbers, [key for key, match in names if match is None]


def day_of(time_s: float) -> str:
    """Return the day of a time, in UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")


def list_folders(keys: Iterable[str]) -> tuple[list[LogFolder], list[str]]:
    """Return the sorted folders with entries, and the keys that are not part of the log."""
    found: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    unknown = []
    for key in keys:
        if match := _KEY.fullmatch(key):
            found[int(match["number"]), match["day"]].add(match["name"])
        else:
            unknown.append(key)
    folders = [LogFolder(day, number, names) for (number, day), names in sorted(found.items())]
    return folders, unknown


@dataclass(frozen=True)
class LogState:
    """The part of the log that survived a loss of Redis."""

    sealed: int
    """Number of entries that are sealed in storage."""
    unsealed: int
    """Number of entries that the restored Redis has and storage has not."""
    newest_at: float
    """Time of the newest of all these entries; 0 if there are none."""
    is_signed_with: bool
    """Whether one of the given keys signed the sealed entries; true if there are none."""


def valid_entries(found: Iterable[Mapping[bytes, bytes]]) -> Iterator[tuple[Entry, bytes]]:
    """Yield the valid entries of the stream, each with its line.

    Anyone with write access to Redis can write to the stream. Invalid entries, and those that only
    the sealer may write, are skipped.
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
    redis: Client, storage: Storage, folders: Sequence[LogFolder]
) -> frozenset[str]:
    """Return the IDs of sealed entries that may still be in the stream."""
    oldest = await redis.xrange(STREAM, count=1)
    if not oldest:
        return frozenset()
    since_s = int(oldest[0][0].split(b"-")[0]) / 1000 - _CLOCK_SKEW_S
    found: set[str] = set()
    for folder in reversed(folders):
        if CHECKPOINT in folder.names:
            try:
                found |= {entry.id for entry in await _entries_in(storage, folder)}
            except (msgspec.DecodeError, ValueError) as e:
                log.error("%s of the audit log cannot be read: %s", folder.path, e)
        if folder.day < day_of(since_s):
            break
    return frozenset(found)


async def earlier_keys(storage: Storage, keys: Sequence[PublicKey]) -> list[PublicKey]:
    """Return the earlier keys that the newest head names, if it is signed with one of `keys`.

    Raises StorageError.
    """
    heads, _ = heads_in(await storage.keys(HEADS))
    for number in heads[-1:]:
        note = (await storage.get_bytes(head_key(number))).decode("utf-8", "replace")
        if _is_signed(note, keys):
            return [PublicKey.from_raw(raw) for raw in Checkpoint.parse(note).earlier_keys]
    return []


async def compare_with_redis(
    redis: Client, storage: Storage, keys: Sequence[PublicKey]
) -> LogState:
    """Compare the log in storage with the stream in Redis. Raises BadCheckpoint."""
    folders, _ = list_folders(await storage.keys(FOLDER))
    folders = [folder for folder in folders if CHECKPOINT in folder.names]
    size, newest_at, is_signed_with = 0, 0.0, True
    if folders:
        note = await _note_in(storage, folders[-1])
        size, is_signed_with = Checkpoint.parse(note).size, _is_signed(note, keys)
        newest_at = max(
            (entry.at for entry in await _entries_in(storage, folders[-1])), default=0.0
        )
    sealed = await recently_sealed(redis, storage, folders)
    stream = valid_entries(fields for _, fields in await redis.xrange(STREAM))
    unsealed = {entry.id: entry.at for entry, _ in stream if entry.id not in sealed}
    newest_at = max([newest_at, *unsealed.values()])
    return LogState(size, len(unsealed), newest_at, is_signed_with)


def _is_signed(note: str, keys: Sequence[PublicKey]) -> bool:
    try:
        verify_with_any(note, keys)
    except BadCheckpoint:
        return False
    return True


async def _note_in(storage: Storage, folder: LogFolder) -> str:
    return (await storage.get_bytes(folder.key(CHECKPOINT))).decode()


async def _entries_in(storage: Storage, folder: LogFolder) -> list[Entry]:
    """Return the entries that a checkpoint sealed; none if they were deleted."""
    segment = Checkpoint.parse(await _note_in(storage, folder)).segment
    if segment not in folder.names:
        return []
    data = await storage.get_bytes(folder.key(segment))
    return [audit_trail.decode(line) for line in data.splitlines()]
