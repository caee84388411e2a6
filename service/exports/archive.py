"""The archive of an export: one uncompressed tar, written to storage as it is made."""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.core.storage import Storage

MEDIA_TYPE: Final = "application/x-tar"
_CHUNK_BYTES: Final = 8 * 1024 * 1024
_MODE: Final = 0o644


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
        entry = tarfile.TarInfo(f"{root}/{file.relative_to(folder).as_posix()}")
        entry.size, entry.mtime, entry.mode = file.stat().st_size, time_s, _MODE
        yield entry.tobuf(tarfile.PAX_FORMAT)
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                yield chunk
        if padding := -entry.size % tarfile.BLOCKSIZE:
            yield bytes(padding)
    yield bytes(2 * tarfile.BLOCKSIZE)
