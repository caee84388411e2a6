"""Stores backups in a folder or under a prefix on S3.

    objects/ab/abcdef…              bytes of stored objects, named by their sha256
    backups/20261128T020000.000Z/   one backup, named by its time in UTC: manifest and lists

Backups share objects, so a backup copies only objects that the target does not have. A backup
without a manifest was interrupted and does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from service.backup import contents
from service.backup.contents import BackupError, BackupFile, BackupManifest, Damaged, SavedObject
from service.core.storage import Storage, StorageError, StorageFull, StorageMissing

_BACKUPS, _OBJECTS = "backups", "objects"
_NAME: Final = re.compile(
    rf"{_BACKUPS}/(?P<id>\d{{8}}T\d{{6}}\.\d{{3}}Z)/{re.escape(contents.MANIFEST)}"
)
_URL: Final = re.compile(r"file:///.*|s3://[^/?#\s]+(?:/[^?#]*)?")
_SECONDS: Final = "%Y%m%dT%H%M%S"
_PATIENCE_S: Final = 60.0
_OWN_PREFIX: Final = "FINETUNED_BACKUP_AWS_"


class Target:
    """A place for backups. Errors name it, to distinguish them from errors of storage."""

    def __init__(self, storage: Storage, place: str) -> None:
        self.storage = storage
        self.place = place

    @classmethod
    def open(cls, place: str, *, create: bool) -> Target:
        """Open a folder or an `s3://…` URL. Raises BackupError if it does not exist."""
        if "://" not in place:
            folder = Path(place).resolve()
            if not create and not folder.is_dir():
                raise BackupError(f"there is no folder {folder}")
            place = folder.as_uri()
        elif not _URL.fullmatch(place):
            raise BackupError(f"{place} cannot be used: give a folder, or s3://BUCKET/PREFIX")
        with _convert_errors(place), _own_credentials():
            return cls(Storage.from_url(place, patience_s=_PATIENCE_S), place)

    def require_apart(self, storage_url: str) -> None:
        """Raise BackupError if the target and the storage are inside each other.

        Then each backup would contain all earlier ones. Buckets of different endpoints may have the
        same name.
        """
        if self.place.startswith("s3://") and f"{_OWN_PREFIX}ENDPOINT_URL" in os.environ:
            return
        places = [f"{place.rstrip('/')}/" for place in (self.place, storage_url)]
        if places[0].startswith(places[1]) or places[1].startswith(places[0]):
            raise BackupError(
                f"the target {self.place} and the storage {storage_url} are inside each other: "
                "choose another folder or prefix, best on other disks or in another account"
            )

    async def ids(self) -> list[str]:
        """Return the IDs of all complete backups, oldest first."""
        with _convert_errors(self.place):
            keys = await self.storage.keys(_BACKUPS)
        return sorted(match["id"] for key in keys if (match := _NAME.fullmatch(key)))

    async def find(self, at: str | None) -> BackupManifest:
        """Return the newest backup, or the newest at or before a time. Raises BackupError."""
        found = await self.ids()
        if not found:
            raise BackupError(f"there is no backup in {self.place}")
        latest = id_at(parse_time(at)) if at else found[-1]
        if not (known := [i for i in found if i <= latest]):
            raise BackupError(f"the oldest backup in {self.place} is {found[0]}")
        return await self.manifest(known[-1])

    async def manifest(self, backup_id: str) -> BackupManifest:
        """Return a backup's manifest. Raises Damaged."""
        key = f"{_BACKUPS}/{backup_id}/{contents.MANIFEST}"
        with _convert_errors(self.place):
            return BackupManifest.decode(await self.storage.get_bytes(key), f"{self.place}/{key}")

    async def fetch(self, backup_id: str, name: str, part: BackupFile, path: Path) -> None:
        """Download a file of a backup. Raises Damaged if its digest differs."""
        key = f"{_BACKUPS}/{backup_id}/{name}"
        with _convert_errors(self.place):
            digest = await self.storage.get_file(key, path)
        if digest != part.sha256:
            raise Damaged(f"{self.place}/{key} is damaged: its digest differs")

    async def put(self, backup_id: str, name: str, path: Path) -> None:
        """Upload a file of a backup."""
        with _convert_errors(self.place):
            await self.storage.put_file(f"{_BACKUPS}/{backup_id}/{name}", path)

    async def complete(self, manifest: BackupManifest) -> None:
        """Write the manifest, which makes the backup complete."""
        key = f"{_BACKUPS}/{manifest.id}/{contents.MANIFEST}"
        with _convert_errors(self.place):
            await self.storage.put_bytes(key, manifest.encode())

    async def sizes(self) -> dict[str, int]:
        """Return the sizes of all objects, by digest."""
        with _convert_errors(self.place):
            return {
                found.key.rpartition("/")[2]: found.size
                for found in await self.storage.objects(_OBJECTS)
            }

    async def read(self, digest: str) -> AsyncIterator[bytes]:
        """Yield the bytes of an object. Raises Damaged, at the latest at the end."""
        found = hashlib.sha256()
        with _convert_errors(self.place):
            async for chunk in await self.storage.stream(object_key(digest)):
                await asyncio.to_thread(found.update, chunk)
                yield chunk
        if found.hexdigest() != digest:
            raise Damaged(f"{self.place}/{object_key(digest)} is damaged: its digest differs")

    async def put_object(self, digest: str, data: bytes) -> None:
        """Write a small object."""
        with _convert_errors(self.place):
            await self.storage.put_bytes(object_key(digest), data)

    async def write_object(self, digest: str, chunks: AsyncIterator[bytes]) -> None:
        """Write an object, which does not appear if `chunks` raises. Passes its errors on."""
        try:
            with _convert_errors(self.place):
                async with await self.storage.writer(object_key(digest)) as writer:
                    async for chunk in _wrap_errors(chunks):
                        await writer.write(chunk)
        except _SourceFailed as e:
            raise e.error from e.error.__cause__

    async def prune(self, keep: int, folder: Path) -> tuple[int, int]:
        """Remove all but the newest backups, and the objects that no backup lists.

        Returns the numbers of removed backups and objects. Raises Damaged if a list cannot be read:
        then no object is removed.
        """
        ids = await self.ids()
        removed, kept = ids[:-keep], ids[-keep:]
        with _convert_errors(self.place):
            for backup_id in removed:
                await self.storage.delete_prefix(f"{_BACKUPS}/{backup_id}")
            for key in await self.storage.keys(_BACKUPS):
                if key.split("/")[1] not in kept:  # an interrupted backup
                    await self.storage.delete(key)
        manifests = [await self.manifest(backup_id) for backup_id in kept]
        needed = {o.sha256 for each in manifests for o in await self.objects_of(each, folder)}
        unneeded = [digest for digest in await self.sizes() if digest not in needed]
        with _convert_errors(self.place):
            for digest in unneeded:
                await self.storage.delete(object_key(digest))
        return len(removed), len(unneeded)

    async def objects_of(self, manifest: BackupManifest, folder: Path) -> list[SavedObject]:
        """Return the objects of a backup. `folder` is for temporary files. Raises Damaged."""
        path = folder / f"{manifest.id}-{contents.OBJECTS}"
        await self.fetch(manifest.id, contents.OBJECTS, manifest.objects, path)
        return [*contents.read_objects(path)]


def object_key(digest: str) -> str:
    """Return the storage key of an object in the target."""
    return f"{_OBJECTS}/{digest[:2]}/{digest}"


def id_at(time_s: float) -> str:
    """Return the ID of a backup of this time."""
    seconds, millis = divmod(round(time_s * 1000), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):{_SECONDS}}.{millis:03}Z"


def parse_time(text: str) -> float:
    """Parse the ID of a backup or an ISO 8601 time, in UTC by default. Raises BackupError."""
    with contextlib.suppress(ValueError):
        return datetime.strptime(text, f"{_SECONDS}.%fZ").replace(tzinfo=UTC).timestamp()
    try:
        time = datetime.fromisoformat(text)
    except ValueError as e:
        raise BackupError(
            f"{text} is not a time: give the ID of a backup, such as 20261128T020000.000Z, or a "
            "time, such as 2026-11-28T02:00"
        ) from e
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


class _SourceFailed(Exception):
    def __init__(self, error: StorageError) -> None:
        super().__init__(str(error))
        self.error = error


async def _wrap_errors(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield chunks. Wraps errors of their storage, to distinguish them from the target's."""
    try:
        async for chunk in chunks:
            yield chunk
    except StorageError as e:
        raise _SourceFailed(e) from e


@contextlib.contextmanager
def _convert_errors(place: str) -> Iterator[None]:
    try:
        yield
    except StorageFull as e:
        raise BackupError(
            f"no space is left in {place}: free some, or remove old backups with --keep, and run "
            "the backup again. It continues with what is already copied"
        ) from e
    except StorageMissing as e:
        raise Damaged(f"the backup in {place} is damaged: {e}") from e
    except StorageError as e:
        raise BackupError(f"{place} cannot be used: {e}") from e


@contextlib.contextmanager
def _own_credentials() -> Iterator[None]:
    """Replace the `AWS_…` variables by `FINETUNED_BACKUP_AWS_…` while a store is opened, if set."""
    own = {
        f"AWS_{name.removeprefix(_OWN_PREFIX)}": value
        for name, value in os.environ.items()
        if name.startswith(_OWN_PREFIX)
    }
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    try:
        if own:
            _replace_aws(own)
        yield
    finally:
        _replace_aws(before)


def _replace_aws(values: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(values)
