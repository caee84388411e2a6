"""Artifact storage in a folder or on S3, behind a small interface over obstore.

A folder of artifacts is written file by file, and its `manifest.json` last, with the size and
sha256 of each file. A folder without a manifest does not exist for readers, so they never see an
incomplete upload, neither on a file system nor on S3.

A write that returns survives a power failure: a file and its folders are synced to the disk.

With a master key, objects are encrypted as they are written and decrypted as they are read
(`service/core/encryption`), whoever reads them. Objects that are not encrypted yet stay readable.
Sizes of objects are those in storage.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, Self, TypeVar, cast

import msgspec
import obstore
from obstore.store import LocalStore, ObjectStore

from service.core import local_files, metrics
from service.core.encryption import sealed
from service.core.encryption.keyring import KeyGone, Keyring, name_of, owner_of
from service.core.encryption.master import MasterKey, MasterKeyAway, MasterKeyError
from service.core.encryption.sealed import Damaged, Header, Opener, Sealer
from service.core.object_store import S3Writer, open_store, refusal
from service.core.storage_use import QuotaReached, StorageUse, Write

if TYPE_CHECKING:
    from obstore import ObjectMeta

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
QUOTA: Final = "quota_exceeded"
"""Code of errors and failures by the quota of a project."""
_HEALTH = ".health"
_FIRST_WAIT_S, _MAX_WAIT_S = 0.5, 10.0
_CHUNK_BYTES = 1024 * 1024
_READ_BYTES = 4 * _CHUNK_BYTES  # on S3, each read is a request
_CHUNKS_AT_ONCE = _READ_BYTES // sealed.CHUNK_BYTES
_MOST_AHEAD_BYTES = 8 * _CHUNK_BYTES  # that a writer reserves which does not know its size
_RESERVE_PART = 0.01
_MOST_RESERVE_BYTES = 1024**3
_NO_SPACE = re.compile(
    r"os error 28|No space left|XMinioStorageFull|InsufficientStorage", re.IGNORECASE
)

T = TypeVar("T")
P = ParamSpec("P")


class StorageError(Exception):
    """A storage operation failed."""


class StorageFull(StorageError):
    """The artifact storage has no space left."""


class QuotaExceeded(StorageFull):
    """The quota of the project leaves no room. The message says how to get some."""


class StorageRefused(StorageError):
    """The credentials, bucket or address are wrong. The message says what to fix."""


class StorageMissing(StorageError):
    """The object or folder does not exist or was never completely written."""


class StorageCorrupt(StorageError):
    """The bytes read differ from those written."""


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
    """Contents of a folder artifact, and facts that its writer stores with it."""

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


def _patient(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Retry the method while storage is unavailable, until the storage's patience ends.

    Only for operations that can safely be repeated. Full, missing and corrupt are results, not
    outages, so they are not retried.
    """

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        storage = cast("Storage", args[0])
        wait_s, give_up = _FIRST_WAIT_S, time.monotonic() + storage.patience_s
        while True:
            try:
                return await method(*args, **kwargs)
            except (StorageFull, StorageMissing, StorageCorrupt):
                raise
            except StorageError as e:
                if time.monotonic() + wait_s > give_up:
                    raise
                log.warning("storage is unavailable, trying again in %.1f s: %s", wait_s, e)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _MAX_WAIT_S)

    return call


class Storage:
    """Reads and writes files and folders of artifacts.

    `patience_s`: how long an outage may last before an operation on one object gives up. A worker
    waits, because hours of training depend on it; a request does not.

    `use`: counts the bytes of projects and enforces their quotas. `reserve_bytes`: what has to stay
    free on the disk of a folder; by default 1% of the disk, at most 1 GiB.

    `master_key`: encrypts what is written. `only_encrypted` refuses to read anything else, which
    somebody who can write to the storage could have put in the place of an encrypted object.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        patience_s: float = 0.0,
        use: StorageUse | None = None,
        reserve_bytes: int | None = None,
        master_key: MasterKey | None = None,
        only_encrypted: bool = False,
    ) -> None:
        self.store = store
        self.keyring = None if master_key is None else Keyring(master_key, _WrappedKeys(self))
        self._only_encrypted = only_encrypted
        self.patience_s = patience_s
        self.use = use
        self._reserve_bytes = reserve_bytes

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        patience_s: float = 0.0,
        use: StorageUse | None = None,
        reserve_bytes: int | None = None,
        master_key: MasterKey | None = None,
        only_encrypted: bool = False,
    ) -> Storage:
        """Open the storage at a `file:///…` or `s3://…` URL. Raises StorageRefused if it cannot."""
        try:
            return cls(
                open_store(url),
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

        `expected_bytes` is what it will write at least. Raises StorageFull, and QuotaExceeded
        unless `is_limited` is False.
        """
        writer = Writer(self, key, is_limited=is_limited)
        await writer.expect(expected_bytes)
        return writer

    @contextlib.asynccontextmanager
    async def _room(self, key: str, size: int, *, is_limited: bool = True) -> AsyncIterator[None]:
        """Reserve room for an object, and count it once it is written. Raises StorageFull."""
        await self.need_space(key, size)
        write = self.use.write(key, is_limited=is_limited) if self.use else None
        if write is None:
            yield
            return
        await _reserved(write, size)
        try:
            yield
        except BaseException:
            await write.undone()
            raise
        await write.done(size)

    async def need_space(self, key: str, size: int) -> None:
        """Raise StorageFull if a folder's disk has no room for these bytes and its reserve."""
        if self.folder is not None and size:
            free = await asyncio.to_thread(_free_bytes, self.folder, self._reserve_bytes)
            if free is not None and size > free:
                metrics.STORAGE_ERRORS.cell("write", "full").inc()
                raise StorageFull(f"no space left in storage for {key}: the rest is a reserve")

    @property
    def folder(self) -> Path | None:
        """The folder of the objects, or None if they are on S3."""
        return self.store.prefix if isinstance(self.store, LocalStore) else None

    @_patient
    async def put_bytes(self, key: str, data: bytes, *, is_limited: bool = True) -> None:
        """Write a small object, which counts toward the quota unless `is_limited` is False."""
        async with self._room(key, len(data), is_limited=is_limited):
            stored = await self._sealed(key, data)
            await _guard("put", obstore.put_async(self.store, key, stored), key)
            await self.sync(key)

    async def sync(self, key: str) -> None:
        """Write an object in a folder to the disk, so that it survives a power failure.

        An object on S3 does so once it is written. Whatever cannot be synced is removed.
        """
        if (folder := self.folder) is None:
            return
        path = folder / key
        try:
            await _guard("sync", asyncio.to_thread(local_files.sync, folder, path), key)
        except StorageMissing as e:
            # It was just written: the folder is away, which is worth another try.
            raise StorageError(f"storage lost {key} while it was written") from e
        except StorageError:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise

    @_patient
    async def get_bytes(self, key: str) -> bytes:
        """Read a small object."""
        result = await _guard("get", obstore.get_async(self.store, key), key)
        return await self._opened(key, bytes(await _guard("read", result.bytes_async(), key)))

    @_patient
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
        size = (await _guard("head", obstore.head_async(self.store, key), key))["size"]
        opener = await self._opener(key, size)
        if opener is not None:
            last = opener.size if end is None else min(end, opener.size)
            return self._opened_ranges(key, opener, start, last)
        return self._ranges(key, start, size if end is None else min(end, size))

    async def is_encrypted(self, key: str) -> bool:
        """Return whether an object is encrypted. Raises StorageMissing."""
        size = (await self.stat(key)).size
        return size > 0 and Header.decode(await self._head(key, size)) is not None

    async def erase_key(self, owner: str) -> None:
        """Delete the data key of a project, without which nothing of it can be read any more."""
        await self.delete(name_of(owner))

    async def rewrap(self, owner: str) -> bool:
        """Wrap a data key with the present master key. Returns False if it is so already."""
        if self.keyring is None:
            return False
        with _keys_explained(name_of(owner)):
            return await self.keyring.rewrap(owner)

    @property
    def joins_in_place(self) -> bool:
        """Whether `join` can be used: not on S3, and not if objects are encrypted."""
        return self.folder is not None and self.keyring is None

    async def _sealed(self, key: str, data: bytes) -> bytes:
        """Encrypt a small object, if objects are encrypted."""
        sealer = await self.sealer(key)
        return data if sealer is None else sealer.update(data) + sealer.finish()

    async def sealer(self, key: str) -> Sealer | None:
        """Return what encrypts a new object; None if it is not to be encrypted."""
        owner = owner_of(key)
        if self.keyring is None or owner is None:
            return None
        with _keys_explained(key):
            return Sealer(*await self.keyring.key_of(owner), key)

    async def _opened(self, key: str, data: bytes) -> bytes:
        """Decrypt a whole object, if it is encrypted."""
        header = self._header(key, data[: sealed.HEADER_BYTES])
        if header is None:
            return data
        with _keys_explained(key):
            opener = Opener(header, await self._data_key(key, header), key, len(data))
            return opener.open_all(0, data[sealed.HEADER_BYTES :])

    @_patient
    async def _opener(self, key: str, size: int) -> Opener | None:
        """Return what decrypts an object; None if it is not encrypted."""
        if self.keyring is None or owner_of(key) is None:
            return None
        header = self._header(key, await self._head(key, size) if size else b"")
        if header is None:
            return None
        with _keys_explained(key):
            return Opener(header, await self._data_key(key, header), key, size)

    def _header(self, key: str, head: bytes) -> Header | None:
        if self.keyring is None or owner_of(key) is None:
            return None
        with _keys_explained(key):
            header = Header.decode(head)
        if header is None and self._only_encrypted:
            raise _corrupt(f"{key} is not encrypted, although FINETUNED_ENCRYPTION_REQUIRED is set")
        return header

    async def _head(self, key: str, size: int) -> bytes:
        length = min(size, sealed.HEADER_BYTES)
        read = obstore.get_range_async(self.store, key, start=0, length=length)
        return bytes(await _guard("read", read, key))

    async def _data_key(self, key: str, header: Header) -> bytes:
        owner = owner_of(key)
        assert self.keyring is not None  # only then is a header looked at
        assert owner is not None
        return await self.keyring.key(owner, header.key_id)

    async def _opened_ranges(
        self, key: str, opener: Opener, first: int, end: int
    ) -> AsyncIterator[bytes]:
        """Yield decrypted bytes. Of an empty object, the tag is checked, too."""
        number = first // sealed.CHUNK_BYTES
        last = max(end - 1, 0) // sealed.CHUNK_BYTES if opener.size else 0
        while number <= last and (first < end or opener.size == 0):
            upto = min(number + _CHUNKS_AT_ONCE, last + 1)
            begin, stop = sealed.place_of(number), min(sealed.place_of(upto), opener.stored_bytes)
            read = obstore.get_range_async(self.store, key, start=begin, length=stop - begin)
            data = bytes(await _guard("read", read, key))
            with _keys_explained(key):
                plain = opener.open_all(number, data)
            place = number * sealed.CHUNK_BYTES
            wanted = plain[max(first - place, 0) : end - place]
            if wanted:
                yield wanted
            number = upto

    async def _ranges(self, key: str, first: int, end: int) -> AsyncIterator[bytes]:
        # obstore streams a local file in pieces of 8 KiB, which takes ten times as long.
        for start in range(first, end, _READ_BYTES):
            length = min(_READ_BYTES, end - start)
            read = obstore.get_range_async(self.store, key, start=start, length=length)
            yield bytes(await _guard("read", read, key))

    @_patient
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
            raise _corrupt(f"the manifest of {prefix} cannot be read") from e

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
                    raise _corrupt(f"the manifest of {prefix} names a path outside it")
                local.parent.mkdir(parents=True, exist_ok=True)
                if await self.get_file(f"{prefix}/{entry.path}", local) != entry.sha256:
                    raise _corrupt(f"{prefix}/{entry.path} does not match what was written")
            _replace_folder(part, target)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
            raise
        return manifest

    @_patient
    async def copy(self, source: str, target: str, *, is_limited: bool = True) -> None:
        """Copy one object within the storage. Raises StorageMissing if it does not exist."""
        size = (await self.stat(source)).size if self.use or self.folder else 0
        if self.keyring is not None:
            await self._copy_encrypted(source, target, size, is_limited=is_limited)
            return
        async with self._room(target, size, is_limited=is_limited):
            await _guard("copy", obstore.copy_async(self.store, source, target), source)
            await self.sync(target)

    async def _copy_encrypted(
        self, source: str, target: str, size: int, *, is_limited: bool
    ) -> None:
        """Read and write an object, because its name is part of its encryption."""
        chunks = await self.stream(source)
        async with await self.writer(target, expected_bytes=size, is_limited=is_limited) as writer:
            async for chunk in chunks:
                await writer.write(chunk)

    async def join(
        self, sources: Sequence[str], target: str, digests: Sequence[local_files.Digest]
    ) -> int:
        """Join objects in a folder to one, and return its size. Hashes them meanwhile.

        They are expected to be deleted then, so quotas do not apply. Raises StorageMissing if one
        of them does not exist, and ValueError unless `joins_in_place`.
        """
        if (folder := self.folder) is None or self.keyring is not None:
            raise ValueError("objects on S3 and encrypted ones cannot be joined")
        paths = [folder / source for source in sources]
        total = await _guard("stat", asyncio.to_thread(_size_of, paths), target)
        async with self._room(target, total, is_limited=False):
            joining = asyncio.to_thread(local_files.join, paths, folder / target)
            hashing = (asyncio.to_thread(local_files.update, digest, paths) for digest in digests)
            size, *_ = await _guard("join", _all_ended(joining, *hashing), target)
            await self.sync(target)
        return int(size)

    @_patient
    async def delete(self, key: str) -> None:
        """Remove one object. A missing object is not an error."""
        try:
            size = (await self.stat(key)).size if self.use else 0
            await _guard("delete", obstore.delete_async(self.store, key), key)
        except StorageMissing:
            return
        if self.use:
            await self.use.freed(key, size)

    @_patient
    async def written_at(self, key: str) -> int:
        """Return when an object was written, in UTC seconds. Raises StorageMissing."""
        head = await _guard("head", obstore.head_async(self.store, key), key)
        return int(head["last_modified"].timestamp())

    @_patient
    async def keys(self, prefix: str) -> list[str]:
        """Return the keys of all objects under a prefix, or of all objects if it is empty."""
        listing = obstore.list(self.store, prefix=prefix or None)
        return [item["path"] for item in await _guard("list", listing.collect_async(), prefix)]

    @_patient
    async def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders directly under a prefix, in their order."""
        listing = obstore.list_with_delimiter_async(self.store, prefix)
        found = await _guard("list", listing, prefix)
        return sorted(str(path).rpartition("/")[2] for path in found["common_prefixes"])

    @_patient
    async def objects(self, prefix: str = "") -> list[StoredObject]:
        """Return all objects under a prefix, or all if it is empty, except `.health`."""
        listing = obstore.list(self.store, prefix=prefix or None)
        found = await _guard("list", listing.collect_async(), prefix)
        return [_stored(item) for item in found if item["path"] != _HEALTH]

    @_patient
    async def stat(self, key: str) -> StoredObject:
        """Return the size and tag of one object. Raises StorageMissing."""
        return _stored(await _guard("head", obstore.head_async(self.store, key), key))

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

    @_patient
    async def _delete_listed(self, key: str) -> None:
        with contextlib.suppress(StorageMissing):
            await _guard("delete", obstore.delete_async(self.store, key), key)

    async def check(self) -> None:
        """Raise StorageError if storage is not writable and readable."""
        await _guard("put", obstore.put_async(self.store, _HEALTH, b"ok"), _HEALTH)
        await self.get_bytes(_HEALTH)


class Writer:
    """Writes one object in chunks. Use it as a context manager: an error discards the object."""

    def __init__(self, storage: Storage, key: str, *, is_limited: bool = True) -> None:
        self._storage = storage
        self._key = key
        self._write = storage.use.write(key, is_limited=is_limited) if storage.use else None
        self._written = self._room = 0
        self._sealer: Sealer | None = None
        self._writer: S3Writer | obstore.AsyncWritableFile
        if isinstance(storage.store, LocalStore):
            # If it is dropped without close(), it removes its staged data. With 8 MiB, an upload
            # that stalled took 5.5 MiB of memory instead of 3, and writes were not faster.
            self._writer = obstore.open_writer_async(storage.store, key, buffer_size=_CHUNK_BYTES)
        else:
            self._writer = S3Writer(storage.store, key)

    async def expect(self, size: int) -> None:
        """Reserve room for this many bytes in all. Raises StorageFull and QuotaExceeded."""
        if size <= self._room:
            return
        await self._storage.need_space(self._key, size - self._written)
        self._room = size if self._write is None else await _reserved(self._write, size)

    async def write(self, chunk: bytes) -> None:
        """Append bytes. Raises StorageFull and QuotaExceeded before they are written."""
        written = self._written + len(chunk)
        if written > self._room:
            await self._storage.need_space(self._key, len(chunk))
            ahead = min(self._written, _MOST_AHEAD_BYTES)
            self._room = written + ahead
            if self._write is not None:
                self._room = await _reserved(self._write, written, ahead)
        await self._put(await self._sealed(chunk))
        self._written = written

    async def _sealed(self, chunk: bytes) -> bytes:
        """Return what is to be written of a chunk, and of earlier ones that were held back."""
        if self._sealer is None and self._written == 0:
            self._sealer = await self._storage.sealer(self._key)
        return chunk if self._sealer is None else self._sealer.update(chunk)

    async def _put(self, data: bytes) -> None:
        if data:
            await _guard("write", self._writer.write(data), self._key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                if self._written == 0:
                    await self._put(await self._sealed(b""))
                if self._sealer is not None:
                    await self._put(self._sealer.finish())
                await _guard("commit", self._writer.close(), self._key)
                await self._storage.sync(self._key)
            except BaseException:
                await self._undone()
                raise
            if self._write is not None:
                await self._write.done(self._written)
            return
        if isinstance(self._writer, S3Writer):
            await self._writer.discard()
        await self._undone()

    async def _undone(self) -> None:
        if self._write is not None:
            await self._write.undone()


class _WrappedKeys:
    """The wrapped data keys in storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def read(self, name: str) -> bytes | None:
        try:
            return await self._storage.get_bytes(name)
        except StorageMissing:
            return None

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object unless it exists: also if another process does so at the same time."""
        store = self._storage.store
        try:
            await _guard("put", obstore.put_async(store, name, data, mode="create"), name)
        except StorageError as e:
            if isinstance(e.__cause__, obstore.exceptions.AlreadyExistsError):
                return False
            raise
        await self._storage.sync(name)
        return True

    async def replace(self, name: str, data: bytes) -> None:
        await self._storage.put_bytes(name, data)


@contextlib.contextmanager
def _keys_explained(key: str) -> Iterator[None]:
    """Convert errors of keys and of decryption."""
    try:
        yield
    except Damaged as e:
        raise _corrupt(f"{key} was changed or cut off after it was encrypted") from e
    except KeyGone as e:
        raise StorageMissing(f"the data key of {key} was erased, so it cannot be read") from e
    except MasterKeyAway as e:
        raise StorageError(str(e)) from e
    except MasterKeyError as e:
        raise StorageRefused(str(e)) from e


async def _reserved(write: Write, size: int, ahead: int = 0) -> int:
    """Reserve bytes for a write, and return their number. Raises QuotaExceeded."""
    try:
        return await write.reserve(size, ahead)
    except QuotaReached as e:
        metrics.STORAGE_ERRORS.cell("write", "quota").inc()
        raise QuotaExceeded(str(e)) from e


def _free_bytes(folder: Path, reserve_bytes: int | None) -> int | None:
    """Return what is free on a folder's disk beyond the reserve; None if it cannot be known."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError:
        return None  # the write itself says what is wrong
    if reserve_bytes is None:
        reserve_bytes = min(int(_RESERVE_PART * disk.total), _MOST_RESERVE_BYTES)
    return disk.free - reserve_bytes


def _size_of(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _stored(item: ObjectMeta) -> StoredObject:
    written_at = int(item["last_modified"].timestamp())
    return StoredObject(item["path"], item["size"], written_at, item["e_tag"] or "")


async def _all_ended(*threads: Awaitable[Any]) -> list[Any]:
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


def _corrupt(message: str) -> StorageCorrupt:
    metrics.STORAGE_ERRORS.cell("read", "corrupt").inc()
    return StorageCorrupt(message)


async def _guard(operation: str, work: Awaitable[T], key: str) -> T:
    """Time an operation and convert obstore's errors. Messages name the object, but no paths."""
    began = time.perf_counter()
    try:
        return await work
    except (obstore.exceptions.BaseError, OSError) as e:
        error, kind = _ours(e, key)
        metrics.STORAGE_ERRORS.cell(operation, kind).inc()
        raise error from e
    finally:
        metrics.STORAGE_SECONDS.cell(operation).observe(time.perf_counter() - began)


def _ours(error: Exception, key: str) -> tuple[StorageError, str]:
    """Return the converted error and its kind for metrics."""
    if (why := refusal(error)) is not None:
        return StorageRefused(why), "refused"
    if isinstance(error, FileNotFoundError):
        return StorageMissing(f"{key} is not in storage"), "missing"
    if _NO_SPACE.search(str(error)):
        return StorageFull(f"no space left in storage for {key}"), "full"
    return StorageError(f"storage failed on {key}: {type(error).__name__}"), "away"
