"""`rebuild`: writes the journal in storage into an empty Redis.

The records are the newest in the journal. Like a restore, it sets a mark in Redis that keeps the
API and workers from starting, and an interrupted rebuild can be repeated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from service.backup import journal
from service.backup.contents import BackupError
from service.backup.journal import StoredJournal
from service.backup.restore import Orphans, is_interrupted, mark_started, write_records
from service.core.records import PREFIX
from service.core.redis import Client, reply, text
from service.core.startup_checks import REBUILDING, RESTORING
from service.core.storage import Storage
from service.models.catalogue import Catalogue


@dataclass(frozen=True)
class Replayed:
    """The result of a rebuild. `taken_at` is the time of the records, in UTC seconds."""

    installation: str
    taken_at: float
    records: int
    removed: list[str]


async def replay(
    redis: Client,
    storage: Storage,
    catalogue: Catalogue,
    *,
    installation: str | None,
    finish: Callable[[Replayed], Awaitable[object]],
) -> Replayed | None:
    """Restore the journal of an installation, or the only one. Returns None if there is none.

    `finish` runs before the service may start. Raises BackupError: NotEmpty if Redis has
    records, InUse if processes run on it; StorageError and REDIS_ERRORS.
    """
    journals = {each.installation: each for each in await journal.find(storage)}
    if not journals:
        return None
    before = text(await reply(redis.get(RESTORING)) or "")
    is_repeated = before.startswith(REBUILDING)
    await is_interrupted(redis, before if is_repeated else REBUILDING)
    if is_repeated:
        installation = before.removeprefix(REBUILDING)
    found = _choose(journals, installation)
    await mark_started(redis, f"{REBUILDING}{found.installation}", is_repeated=is_repeated)
    with tempfile.TemporaryDirectory(prefix="finetuned-rebuild-") as folder:
        async for head, records in found.read(storage, Path(folder)):
            await write_records(redis, head.server, records)
    names = [text(key) async for key in redis.scan_iter(f"{PREFIX}:*", count=1000)]
    stored = {each.key for each in await storage.objects()}
    removed = await Orphans(redis, storage, catalogue, stored).remove(names)
    done = Replayed(found.installation, head.taken_at, len(names), removed)
    await finish(done)
    await redis.delete(RESTORING)
    return done


def _choose(journals: dict[str, StoredJournal], installation: str | None) -> StoredJournal:
    """Return the journal to restore. Raises BackupError if the choice is ambiguous."""
    if installation is None and len(journals) == 1:
        return next(iter(journals.values()))
    if installation in journals:
        return journals[installation]
    listed = "; ".join(
        f"{each.installation}, until {datetime.fromtimestamp(each.written_at, UTC):%F %T} UTC"
        for each in journals.values()
    )
    if installation is None:
        raise BackupError(
            "the storage has the journals of several installations, because a worker ran on an "
            f"empty Redis: {listed}. Choose one with --journal"
        )
    raise BackupError(f"the storage has no journal of {installation}, only of {listed}")
