"""Room for writes: the quota of a project, and the disk of a folder."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from service.core import metrics
from service.core.storage.errors import QuotaExceeded, StorageFull
from service.core.storage_use import QuotaReached, StorageUse, Write

_RESERVE_PART = 0.01
_MOST_RESERVE_BYTES = 1024**3


class Room:
    """Reserves room for objects before they are written, and counts them afterwards."""

    def __init__(
        self, folder: Path | None, use: StorageUse | None, reserve_bytes: int | None
    ) -> None:
        self.reserve_bytes = reserve_bytes
        self._folder = folder
        self._use = use

    @contextlib.asynccontextmanager
    async def of(self, key: str, size: int, *, is_limited: bool = True) -> AsyncIterator[None]:
        """Reserve room for an object, and count it once it is written. Raises StorageFull."""
        await self.need_space(key, size)
        write = self._use.write(key, is_limited=is_limited) if self._use else None
        if write is None:
            yield
            return
        await reserved(write, size)
        try:
            yield
        except BaseException:
            await write.undone()
            raise
        await write.done(size)

    async def need_space(self, key: str, size: int) -> None:
        """Raise StorageFull if a folder's disk has no room for these bytes and its reserve."""
        if self._folder is not None and size:
            free = await asyncio.to_thread(_free_bytes, self._folder, self.reserve_bytes)
            if free is not None and size > free:
                metrics.STORAGE_ERRORS.cell("write", "full").inc()
                raise StorageFull(f"no space left in storage for {key}: the rest is a reserve")


async def reserved(write: Write, size: int, ahead: int = 0) -> int:
    """Reserve bytes for a write, and return their number. Raises QuotaExceeded."""
    try:
        return await write.reserve(size, ahead)
    except QuotaReached as e:
        metrics.STORAGE_ERRORS.cell("write", "quota").inc()
        raise QuotaExceeded(str(e)) from e


def _free_bytes(folder: Path, reserve_bytes: int | None) -> int | None:
    """Return the free space on a folder's disk beyond the reserve; None if unknown."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError:
        return None  # the write itself says what is wrong
    if reserve_bytes is None:
        reserve_bytes = min(int(_RESERVE_PART * disk.total), _MOST_RESERVE_BYTES)
    return disk.free - reserve_bytes
