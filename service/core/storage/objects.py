"""Reads and writes objects and folders of artifacts, in a folder or on S3."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import obstore
from obstore.store import LocalStore, ObjectStore, S3Store

from service.core import local_disk
from service.core.encryption.keyring import Keyring, name_of
from service.core.encryption.master import MasterKey
from service.core.errors import StorageError, StorageMissing, StorageRefused
from service.core.storage.cipher import READ_BYTES, ObjectCipher, convert_key_errors
from service.core.storage.errors import corrupt, guard, patient, refusal
from service.core.storage.writer import AccountedWrite, Disk, Writer, reserve_bytes

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import RetryConfig


MANIFEST = "manifest.json"


class StoredObject(NamedTuple):
    """An object in storage. `written_at` is in UTC seconds."""

    key: str
    size: int
    written_at: int
    tag: str = ""
    """Changes if the object is overwritten; comparable only within one storage."""


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a folder artifact."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """Contents of a folder artifact, and metadata from its writer."""

    files: list[FileEntry]
    meta: dict[str, Any] = {}

    @property
    def digest(self) -> str:
        """Return a sha256 over all entries, which identifies the artifact's content."""
        listing = "\n".join(f"{f.sha256} {f.size} {f.path}" for f in self.files)
        return hashlib.sha256(listing.encode()).hexdigest()

    @property
    def size(self) -> int:
        """Total size of all files in bytes."""
        return sum(f.size for f in self.files)


def stored_object(item: ObjectMeta) -> StoredObject:
    """Convert an entry of a listing."""
    written_at = int(item["last_modified"].timestamp())
    return StoredObject(item["path"], item["size"], written_at, item["e_tag"] or "")


class WrappedKeys:
    """The wrapped data keys in storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def read(self, name: str) -> bytes | None:
        """Return an object, or None if there is none."""
        try:
            return await self._storage.get_bytes(name)
        except StorageMissing:
            return None

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object unless it exists, even if another process creates it at the same time."""
        return await self._storage.create_bytes(name, data)

    async def replace(self, name: str, data: bytes) -> None:
        """Write an object."""
        await self._storage.put_bytes(name, data)


class Accounting(Protocol):
    """Counts the bytes of projects in storage, and enforces their quotas."""

    def write(self, key: str, *, is_limited: bool = True) -> AccountedWrite | None:
        """Return the accounting of a write to an object; None if it belongs to no project."""
        ...

    async def freed(self, key: str, size: int) -> None:
        """Count deleted bytes of an object or a folder."""
        ...

    async def totals(self, project_ids: Sequence[str]) -> list[int]:
        """Return the bytes of projects, including those of writes in progress."""
        ...

    async def recount(self, storage: Storage, project_ids: Iterable[str]) -> None:
        """Count projects whose sum is uncertain, or a day old, from listings of the storage."""
        ...


_HEALTH = ".health"
_CHUNK_BYTES = 1024 * 1024
# About 3 s. obstore's default of 3 minutes would block a request; a worker retries for longer.
_RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=10)}


class Storage:
    """Reads and writes files and folders of artifacts.

    `patience_s`: how long an operation on one object is retried during an outage. A worker waits,
    because hours of training depend on it; a request does not.

    `use`: counts the bytes of projects and enforces their quotas. `reserve_bytes`: what has to stay
    free on the disk of a folder; by default 1% of the disk, at most 1 GiB.

    `master_key`: encrypts what is written. `only_encrypted` refuses to read anything else, which
    somebody who can write to the storage could have substituted for an encrypted object.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        patience_s: float = 0.0,
        use: Accounting | None = None,
        reserve_bytes: int | None = None,
        master_key: MasterKey | None = None,
        only_encrypted: bool = False,
    ) -> None:
        self.store = store
        self.patience_s = patience_s
        self.use = use
        self.disk = Disk(self.folder, reserve_bytes)
        self.keyring = None if master_key is None else Keyring(master_key, WrappedKeys(self))
        self.cipher = ObjectCipher(
            store, self.keyring, only_encrypted=only_encrypted, patience_s=patience_s
        )

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        patience_s: float = 0.0,
        use: Accounting | None = None,
        reserve_bytes: int | None = None,
        master_key: MasterKey | None = None,
        only_encrypted: bool = False,
    ) -> Storage:
        """Open the storage at a `file:///…` or `s3://…` URL. Raises StorageRefused if it cannot."""
        try:
            return cls(
                _open_store(url),
                patience_s=patience_s,
                use=use,
                reserve_bytes=reserve_bytes,
                master_key=master_key,
                only_encrypted=only_encrypted,
            )
        except obstore.exceptions.BaseError as e:
            raise StorageRefused(refusal(e) or str(e).partition("\n")[0]) from e

    async def writer(self, key: str, *, expected_bytes: int = 0, is_limited: bool = True) -> Writer:
        """Return a writer for one object, which becomes visible when the writer is closed.

        `expected_bytes` is the least that it will write. Raises StorageFull, and QuotaExceeded
        unless `is_limited` is False.
        """
        write = self.use.write(key, is_limited=is_limited) if self.use else None
        writer = Writer(self.store, key, disk=self.disk, cipher=self.cipher, write=write)
        await writer.expect(expected_bytes)
        return writer

    @contextlib.asynccontextmanager
    async def _account(
        self, key: str, size: int, *, is_limited: bool = True
    ) -> AsyncIterator[None]:
        """Reserve room for an object, and count it once it is written. Raises StorageFull."""
        await self.disk.require_space(key, size)
        write = self.use.write(key, is_limited=is_limited) if self.use else None
        if write is None:
            yield
            return
        await reserve_bytes(write, size)
        try:
            yield
        except BaseException:
            await write.undone()
            raise
        await write.done(size)

    @property
    def folder(self) -> Path | None:
        """The folder of the objects, or None if they are on S3."""
        return self.store.prefix if isinstance(self.store, LocalStore) else None

    @patient
    async def put_bytes(self, key: str, data: bytes, *, is_limited: bool = True) -> None:
        """Write a small object, which counts toward the quota unless `is_limited` is False."""
        async with self._account(key, len(data), is_limited=is_limited):
            stored = await self.cipher.encrypt(key, data)
            await guard("put", obstore.put_async(self.store, key, stored), key)
            await self.disk.sync(key)

    async def create_bytes(self, key: str, data: bytes) -> bool:
        """Write a small object, unencrypted, unless there is one. Returns whether it was written.

        Of several processes that do so at the same time, one succeeds. Raises StorageError.
        """
        try:
            await guard("put", obstore.put_async(self.store, key, data, mode="create"), key)
        except StorageError as e:
            if isinstance(e.__cause__, obstore.exceptions.AlreadyExistsError):
                return False
            raise
        await self.disk.sync(key)
        return True

    @patient
    async def get_bytes(self, key: str) -> bytes:
        """Read a small object."""
        result = await guard("get", obstore.get_async(self.store, key), key)
        return await self.cipher.decrypt(key, bytes(await guard("read", result.bytes_async(), key)))

    @patient
    async def put_file(self, key: str, path: Path) -> FileEntry:
        """Write a local file as one object, in chunks. It appears completely or not at all."""
        digest, size = hashlib.sha256(), 0
        expected_bytes = (await asyncio.to_thread(path.stat)).st_size
        async with await self.writer(key, expected_bytes=expected_bytes) as writer:
            with path.open("rb") as source:
                while chunk := await asyncio.to_thread(source.read, _CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    await writer.write(chunk)
        return FileEntry(path=path.name, size=size, sha256=digest.hexdigest())

    async def stream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes of one object in chunks, from `start` up to `end`, which is excluded.

        Raises StorageMissing before the first.
        """
        size = (await guard("head", obstore.head_async(self.store, key), key))["size"]
        opener = await self.cipher.opener(key, size)
        if opener is not None:
            last = opener.size if end is None else min(end, opener.size)
            return self.cipher.ranges(key, opener, start, last)
        return self._ranges(key, start, size if end is None else min(end, size))

    async def is_encrypted(self, key: str) -> bool:
        """Return whether an object is encrypted. Raises StorageMissing."""
        return await self.cipher.is_encrypted(key, (await self.stat(key)).size)

    async def erase_key(self, owner: str) -> None:
        """Delete the data key of a project, without which none of it can be read."""
        await self.delete(name_of(owner))

    async def rewrap(self, owner: str) -> bool:
        """Wrap a data key with the current master key. Returns False if it already is."""
        if self.keyring is None:
            return False
        with convert_key_errors(name_of(owner)):
            return await self.keyring.rewrap(owner)

    @property
    def joins_in_place(self) -> bool:
        """Whether `join` can be used: not on S3, and not if objects are encrypted."""
        return self.folder is not None and self.keyring is None

    async def _ranges(self, key: str, first: int, end: int) -> AsyncIterator[bytes]:
        # obstore streams a local file in pieces of 8 KiB, which takes ten times as long.
        for start in range(first, end, READ_BYTES):
            length = min(READ_BYTES, end - start)
            read = obstore.get_range_async(self.store, key, start=start, length=length)
            yield bytes(await guard("read", read, key))

    @patient
    async def get_file(self, key: str, target: Path) -> str:
        """Download one object to a local file and return its sha256."""
        digest = hashlib.sha256()
        with target.open("wb") as sink:
            async for chunk in await self.stream(key):
                digest.update(chunk)
                await asyncio.to_thread(sink.write, chunk)
        return digest.hexdigest()

    async def put_folder(
        self,
        prefix: str,
        path: Path,
        *,
        meta: dict[str, Any] | None = None,
        only: Callable[[str], bool] = lambda _: True,
    ) -> Manifest:
        """Write the files below `path` whose names `only` accepts, then the manifest.

        Symbolic links are skipped, because they could point to a file outside the folder.
        """
        entries = []
        for file in sorted(path.rglob("*")):
            if file.is_symlink() or not file.is_file() or file.name == MANIFEST:
                continue
            name = file.relative_to(path).as_posix()
            if not only(name):
                continue
            entry = await self.put_file(f"{prefix}/{name}", file)
            entries.append(FileEntry(path=name, size=entry.size, sha256=entry.sha256))
        manifest = Manifest(files=entries, meta=meta or {})
        await self.put_bytes(f"{prefix}/{MANIFEST}", msgspec.json.encode(manifest))
        return manifest

    async def manifest(self, prefix: str) -> Manifest:
        """Return the manifest of a folder artifact. Raises StorageMissing if there is none."""
        raw = await self.get_bytes(f"{prefix}/{MANIFEST}")
        try:
            return msgspec.json.decode(raw, type=Manifest)
        except msgspec.DecodeError as e:
            raise corrupt(f"the manifest of {prefix} cannot be read") from e

    async def get_folder(self, prefix: str, target: Path) -> Manifest:
        """Download a folder artifact to `target`, which appears completely or not at all.

        Raises StorageMissing if there is no manifest, and StorageCorrupt if a digest differs.
        """
        manifest = await self.manifest(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            for entry in manifest.files:
                local = part / entry.path
                if part not in local.resolve().parents:
                    raise corrupt(f"the manifest of {prefix} names a path outside it")
                local.parent.mkdir(parents=True, exist_ok=True)
                if await self.get_file(f"{prefix}/{entry.path}", local) != entry.sha256:
                    raise corrupt(f"{prefix}/{entry.path} does not match what was written")
            _replace_folder(part, target)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
            raise
        return manifest

    @patient
    async def copy(self, source: str, target: str, *, is_limited: bool = True) -> None:
        """Copy one object within the storage. Raises StorageMissing if it does not exist."""
        size = (await self.stat(source)).size if self.use or self.folder else 0
        if self.keyring is not None:
            await self._copy_encrypted(source, target, size, is_limited=is_limited)
            return
        async with self._account(target, size, is_limited=is_limited):
            await guard("copy", obstore.copy_async(self.store, source, target), source)
            await self.disk.sync(target)

    async def _copy_encrypted(
        self, source: str, target: str, size: int, *, is_limited: bool
    ) -> None:
        """Read and write an object, because its name is part of its encryption."""
        chunks = await self.stream(source)
        async with await self.writer(target, expected_bytes=size, is_limited=is_limited) as writer:
            async for chunk in chunks:
                await writer.write(chunk)

    async def join(
        self, sources: Sequence[str], target: str, digests: Sequence[local_disk.Digest]
    ) -> int:
        """Join objects in a folder to one, hash them on the way, and return its size.

        The caller deletes them afterwards, so quotas do not apply. Raises StorageMissing if one
        of them does not exist, and ValueError unless `joins_in_place`.
        """
        if (folder := self.folder) is None or self.keyring is not None:
            raise ValueError("objects on S3 and encrypted ones cannot be joined")
        paths = [folder / source for source in sources]
        total = await guard("stat", asyncio.to_thread(_size_of, paths), target)
        async with self._account(target, total, is_limited=False):
            joining = asyncio.to_thread(local_disk.join, paths, folder / target)
            hashing = (asyncio.to_thread(local_disk.update, digest, paths) for digest in digests)
            size, *_ = await guard("join", _await_threads(joining, *hashing), target)
            await self.disk.sync(target)
        return int(size)

    @patient
    async def delete(self, key: str) -> None:
        """Remove one object. A missing object is not an error."""
        try:
            size = (await self.stat(key)).size if self.use else 0
            await guard("delete", obstore.delete_async(self.store, key), key)
        except StorageMissing:
            return
        if self.use:
            await self.use.freed(key, size)

    @patient
    async def written_at(self, key: str) -> int:
        """Return when an object was written, in UTC seconds. Raises StorageMissing."""
        head = await guard("head", obstore.head_async(self.store, key), key)
        return int(head["last_modified"].timestamp())

    @patient
    async def keys(self, prefix: str) -> list[str]:
        """Return the keys of all objects under a prefix, or of all objects if it is empty."""
        listing = obstore.list(self.store, prefix=prefix or None)
        return [item["path"] for item in await guard("list", listing.collect_async(), prefix)]

    @patient
    async def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders directly under a prefix, in their order."""
        listing = obstore.list_with_delimiter_async(self.store, prefix)
        found = await guard("list", listing, prefix)
        return sorted(str(path).rpartition("/")[2] for path in found["common_prefixes"])

    @patient
    async def objects(self, prefix: str = "") -> list[StoredObject]:
        """Return all objects under a prefix, or all if it is empty, except `.health`."""
        listing = obstore.list(self.store, prefix=prefix or None)
        found = await guard("list", listing.collect_async(), prefix)
        return [stored_object(item) for item in found if item["path"] != _HEALTH]

    @patient
    async def stat(self, key: str) -> StoredObject:
        """Return the size and tag of one object. Raises StorageMissing."""
        return stored_object(await guard("head", obstore.head_async(self.store, key), key))

    async def delete_prefix(self, prefix: str) -> None:
        """Remove all objects under a prefix, the manifest first."""
        await self.delete(f"{prefix}/{MANIFEST}")
        freed = 0
        try:
            for found in await self.objects(prefix):
                await self._delete_listed(found.key)
                freed += found.size
        finally:
            if self.use:
                await self.use.freed(f"{prefix}/", freed)
        if self.folder is not None:
            # Listings do not include files that a killed process had staged.
            staged = self.folder / prefix
            await asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True)

    @patient
    async def _delete_listed(self, key: str) -> None:
        with contextlib.suppress(StorageMissing):
            await guard("delete", obstore.delete_async(self.store, key), key)

    async def check(self) -> None:
        """Raise StorageError if storage is not writable and readable."""
        await guard("put", obstore.put_async(self.store, _HEALTH, b"ok"), _HEALTH)
        await self.get_bytes(_HEALTH)


def _open_store(url: str) -> ObjectStore:
    """Open the store at a `file:///…` or `s3://bucket/prefix` URL.

    S3's credentials, region and endpoint come from the standard `AWS_…` variables.
    """
    if url.startswith("file://"):
        path = Path(url.removeprefix("file://"))
        path.mkdir(parents=True, exist_ok=True)
        return LocalStore(path, automatic_cleanup=True)
    return S3Store.from_url(url, retry_config=_RETRIES)


def _size_of(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


async def _await_threads(*threads: Awaitable[Any]) -> list[Any]:
    """Wait until all threads have ended, even if this task is canceled, and return their results.

    A thread that outlived its request would write an object that nobody deletes.
    """
    running = asyncio.gather(*threads, return_exceptions=True)
    try:
        results = await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def _replace_folder(part: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)
