"""Runs backups, restores and rebuilds. Each function returns lines for the operator."""

from __future__ import annotations

import os
from pathlib import Path

from service.backup import restore as restoring
from service.backup.backup import back_up
from service.backup.contents import BackupManifest
from service.backup.replay import Replayed, replay
from service.backup.restore import NotEmpty
from service.backup.target import Target
from service.cli.common import time_text
from service.cli.connections import (
    CommandDetails,
    catalogue,
    open_or_start_redis,
    open_storage,
    open_url,
    record,
    record_command,
    redis_url,
    start_redis,
    storage_url,
)
from service.cli.rebuild import Rebuild, RebuiltLog
from service.core.redis import Client
from service.core.storage import Storage
from service.projects.records import Projects
from service.standalone.layout import DataLayout
from service.web.audit_events import AuditEvent

_PATIENCE_S = 60.0
_NOT_EMPTY = (
    "Redis has records, which were kept. To restore jobs, keys, aliases and all others from the "
    "journal, stop the API and workers, empty Redis with FLUSHDB, and run this again"
)
_NO_JOURNAL = (
    "The storage has no journal: restore a backup, or create keys, aliases, limits and evals by "
    "hand (see 'finetuned-server keys create')"
)


async def backup(data_dir: Path | None, place: str, keep: int | None) -> list[str]:
    """Back up to a folder or an S3 URL."""
    os.umask(0o077)  # backups contain training text and the secrets of webhooks
    target, storage = Target.open(place, create=True), _storage(data_dir)
    target.require_apart(storage_url(data_dir))
    async with (
        open_url(redis_url(data_dir)) as redis,
        record_command(redis, AuditEvent.BACKUP_CREATED) as details,
    ):
        done = await back_up(redis, redis_url(data_dir), storage, target, keep=keep)
        details.objects = (done.manifest.id,)
        details.counts = {"records": done.manifest.records.count}
        details.counts["objects"] = done.manifest.objects.count
    copied = f"copied {done.copied_objects:,} new objects, {done.copied_bytes:,} bytes"
    paused = f"writes to Redis were paused for {done.paused_s * 1000:.0f} ms"
    lines = [f"backed up {_contents(done.manifest)}", f"{copied}; {paused}"]
    if done.removed_backups or done.removed_objects:
        lines.append(
            f"removed {done.removed_backups} old backups and {done.removed_objects} objects that "
            "no backup needs"
        )
    return lines


async def backups(place: str) -> list[str]:
    """List the backups in a folder or at an S3 URL."""
    target = Target.open(place, create=False)
    return [_contents(await target.manifest(backup_id)) for backup_id in await target.ids()]


async def check(place: str, at: str | None) -> list[str]:
    """Compare all bytes of a backup with their digests."""
    manifest = await restoring.check(Target.open(place, create=False), at)
    return [f"intact: {_contents(manifest)}"]


async def restore(
    data_dir: Path | None, place: str, at: str | None, *, only_records: bool
) -> list[str]:
    """Restore a backup from a folder or an S3 URL.

    With `only_records`, storage is kept, and what it has beyond the backup is registered too.
    """
    os.umask(0o077)
    target = Target.open(place, create=False)
    async with start_redis(data_dir) as redis:
        storage, models = _storage(data_dir), catalogue(data_dir)
        newer = Rebuild(redis, _readable(data_dir), models)

        async def finish(manifest: BackupManifest) -> None:
            if only_records:
                await newer.run()
            details = CommandDetails((manifest.id,), {"records": manifest.records.count})
            await record(redis, AuditEvent.BACKUP_RESTORED, details)

        done = await restoring.restore(
            redis,
            storage,
            models,
            target,
            at=at,
            only_records=only_records,
            finish=finish,
        )
        key = await _remove_unknown_key(redis, data_dir)
    lines = [f"restored {_contents(done.manifest)}"]
    if only_records:
        lines.append(f"rebuilt what is newer: {_counts(newer)}")
    return [*lines, *_removed(done.removed), *key]


async def _remove_unknown_key(redis: Client, data_dir: Path | None) -> list[str]:
    """Remove the first admin key of another installation, such as a new server's."""
    if data_dir is None or not (file := DataLayout(data_dir).api_key).exists():
        return []
    if await Projects(redis).find_principal(file.read_text("ascii").strip()):
        return []
    file.unlink()
    return [f"removed {file}, which the backup does not know: the next start makes a new admin key"]


async def rebuild(data_dir: Path | None, journal: str | None) -> list[str]:
    """Restore the journal in storage into an empty Redis, then what is newer.

    If Redis has records, they are kept, and only files and models are added.
    """
    async with open_or_start_redis(data_dir) as redis:
        storage, models = _readable(data_dir), catalogue(data_dir)
        newer, log = Rebuild(redis, storage, models), RebuiltLog(redis, storage, data_dir)

        async def finish(done: Replayed | None) -> None:
            await newer.run()
            await log.note(newer.restored, done)

        try:
            done = await replay(redis, storage, models, installation=journal, finish=finish)
        except NotEmpty:
            if journal is not None:
                raise
            await newer.run()
            await record(
                redis, AuditEvent.INSTALLATION_REBUILT, CommandDetails(counts=newer.restored)
            )
            return [f"rebuilt: {_counts(newer)}. {_NOT_EMPTY}"]
        if done is None:
            await finish(None)
            return [f"rebuilt: {_counts(newer)}. {_NO_JOURNAL}", *log.lines]
    return [
        f"restored {done.records:,} records of {time_text(done.taken_at)} from the journal",
        f"rebuilt what is newer: {_counts(newer)}",
        *_removed(done.removed),
        *log.lines,
        "webhook endpoints are not in the journal: create them again",
    ]


def _counts(newer: Rebuild) -> str:
    found = newer.restored
    counts = ", ".join(f"{found[what]} {what}" for what in ("projects", "files", "models"))
    return f"{counts}, {found['checkpoints']} checkpoints, figures of {found['figures']} models"


def _removed(ids: list[str]) -> list[str]:
    return [f"removed records whose bytes had been deleted: {', '.join(ids)}"] if ids else []


def _storage(data_dir: Path | None) -> Storage:
    """Return the storage for copying objects unchanged, even encrypted ones."""
    return Storage.from_url(storage_url(data_dir), patience_s=_PATIENCE_S)


def _readable(data_dir: Path | None) -> Storage:
    """Return the storage for reading encrypted objects."""
    return open_storage(data_dir, patience_s=_PATIENCE_S)


def _contents(manifest: BackupManifest) -> str:
    return (
        f"{manifest.id}: {manifest.records.count:,} records of {time_text(manifest.taken_at)}, "
        f"{manifest.objects.count:,} objects, {manifest.size:,} bytes "
        f"(version {manifest.version}, {manifest.server})"
    )
