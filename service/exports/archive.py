"""The archive of an export: one uncompressed tar, written to storage as it is made."""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.core.storage import Storage

MEDIA_TYPE: Final = "application/x-tar"
_CHUNK_BYTES: Final = 8 * 1024 * 1024
_MODE: Final = 0o644
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class Archive:
    """An archive in storage. `sha256` is that of its bytes, in hexadecimal digits."""

    key: str
    bytes: int
    sha256: str


async def store(storage: Storage, key: str, folder: Path, root: str, time_s: int) -> Archive:
    """Write the files of a folder to storage, below the folder `root` of the archive.

    The object appears completely or not at all. Raises StorageError.
    """
    digest, size = hashlib.sha256(), 0
    chunks = tar(folder, root, time_s)
    async with await storage.writer(key) as writer:
        while chunk := await asyncio.to_thread(next, chunks, b""):
            digest.update(chunk)
            size += len(chunk)
            await writer.write(chunk)
    return Archive(key, size, digest.hexdigest())


def tar(folder: Path, root: str, time_s: int) -> Iterator[bytes]:
    """Yield the chunks of an archive, none of them empty. The same files give the same bytes."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.is_symlink():
            continue
        size = file.stat().st_size
        yield _header(f"{root}/{file.relative_to(folder).as_posix()}", size, time_s)
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                yield chunk
        if padding := _padding(size):
            yield padding
    yield _END


def pack(members: Mapping[str, bytes], root: str, time_s: int) -> bytes:
    """Return the archive of small members, by path. The same members give the same bytes."""
    parts: list[bytes] = []
    for path, data in sorted(members.items()):
        parts += [_header(f"{root}/{path}", len(data), time_s), data, _padding(len(data))]
    return b"".join([*parts, _END])


def _header(path: str, size: int, time_s: int) -> bytes:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mtime, entry.mode = size, time_s, _MODE
    return entry.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
