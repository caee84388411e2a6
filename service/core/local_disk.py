"""Writes files durably, joins them inside the kernel, and manages the folders of running tasks.

A task's folder holds users' data while it runs. It is claimed with a lock that the system releases
when the process dies. So `sweep` removes exactly the folders of dead processes, including those of
other workers on this machine.

Other functions block, so call them in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Protocol

_READ_BYTES = 1024 * 1024
_COPY_BYTES = 64 * 1024 * 1024
# Errors of network file systems whose folders cannot be synced.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSUP})
# Errors of file systems on which the kernel cannot copy between files.
_CANNOT_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


class Digest(Protocol):
    """Protocol of hashlib digests."""

    def update(self, data: memoryview, /) -> None:
        """Update the digest with bytes."""
        ...


def sync(root: Path, path: Path) -> None:
    """Write a file below `root`, and the folders that lead to it, to the disk.

    After a power failure, a file can be missing or empty although it was closed and renamed.
    """
    _sync(path)
    for folder in path.parents:
        sync_folder(folder)
        if folder == root:
            return


def sync_tree(folder: Path) -> None:
    """Write all files and folders below a folder, and the folder, to the disk."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            _sync(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, if its file system can do that."""
    try:
        _sync(folder)
    except OSError as e:
        if e.errno not in _CANNOT_SYNC:
            raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def join(sources: Sequence[Path], target: Path) -> int:
    """Write the bytes of all sources to `target` and return their number.

    The kernel copies them. On XFS and Btrfs, it only shares the blocks. A single source is linked,
    because stored files never change. The target appears completely or not at all.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f"{target.name}#1")  # as obstore names them; not listed
    try:
        if len(sources) != 1 or not _link(sources[0], staged):
            _copy(sources, staged)
        _sync(staged)  # beside the hashing of the parts; `sync` then only syncs the folders
        size = staged.stat().st_size
        staged.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            staged.unlink()
        raise
    return size


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name. Returns False if the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def _copy(sources: Iterable[Path], target: Path) -> None:
    with target.open("wb") as out:
        for source in sources:
            _append(source, out.fileno())


def _append(source: Path, out: int) -> None:
    with source.open("rb", buffering=0) as part:
        try:
            while os.copy_file_range(part.fileno(), out, _COPY_BYTES):
                pass
        except OSError as e:
            if e.errno not in _CANNOT_COPY:
                raise
            with os.fdopen(out, "wb", closefd=False) as rest:
                shutil.copyfileobj(part, rest, _READ_BYTES)


def update(digest: Digest, sources: Iterable[Path]) -> None:
    """Update a digest with the bytes of all sources."""
    buffer = memoryview(bytearray(_READ_BYTES))
    for source in sources:
        with source.open("rb", buffering=0) as part:
            while count := part.readinto(buffer):
                digest.update(buffer[:count])


_CLAIM = ".claimed"
_SETTLED_S = 60  # a younger folder may not be locked yet


@contextlib.asynccontextmanager
async def claimed(path: Path) -> AsyncIterator[Path]:
    """Create an empty folder that only this user can read. It is deleted on exit.

    Raises OSError, for example if the disk is full.
    """
    claim = await asyncio.to_thread(_create, path)
    try:
        yield path
    finally:
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        os.close(claim)


def _create(path: Path) -> int:
    """Create and lock the folder, and return the descriptor that holds the lock."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, mode=0o700)
    claim = os.open(path / _CLAIM, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(claim, fcntl.LOCK_EX)
    return claim


def sweep(root: Path, settled_s: float = _SETTLED_S) -> list[str]:
    """Delete the folders below `root` whose processes have died, and return their names."""
    swept = []
    for claim in root.glob(f"*/{_CLAIM}"):
        with contextlib.suppress(OSError):  # deleted since it was listed
            if time.time() - claim.stat().st_mtime >= settled_s and _is_free(claim):
                shutil.rmtree(claim.parent, ignore_errors=True)
                swept.append(claim.parent.name)
    return swept


def _is_free(claim: Path) -> bool:
    with claim.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
