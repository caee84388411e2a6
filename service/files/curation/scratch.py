"""Scratch folders of tasks on a worker's disk, and file downloads into them."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncIterator
from pathlib import Path

from service.core import ids, local_disk
from service.core.storage import QUOTA, QuotaExceeded, Storage, StorageFull, StorageMissing
from service.files.curation.child_runner import DeskFailed
from service.files.curation.records import Task
from service.files.records import FileRecord, Files


@contextlib.asynccontextmanager
async def scratch_folder(path: Path) -> AsyncIterator[Path]:
    """Provide an empty folder, readable only by this user, that is deleted on exit.

    Raises DeskFailed if the worker's disk, the storage or the project's quota is full inside the
    block.
    """
    try:
        async with local_disk.claimed(path):
            yield path
    except QuotaExceeded as e:
        raise DeskFailed(QUOTA, str(e)) from e
    except StorageFull as e:
        raise _full("The service's storage is full") from e
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        raise _full("The worker's disk is full") from e


async def other_file(files: Files, task: Task, file_id: str, what: str) -> FileRecord:
    """Return another file that a task needs. Raises DeskFailed if it was deleted."""
    record = await files.get(task.project_id, file_id, ids.now_s())
    if record is None:
        raise DeskFailed("file_not_found", f"The {what} {file_id} was deleted.")
    return record


async def fetch(storage: Storage, file: FileRecord, path: Path) -> Path:
    """Download a file's original bytes to `path`. Raises DeskFailed."""
    return await _fetch(storage, file.content_key, file.sha256, path)


async def fetch_rows(storage: Storage, file: FileRecord, path: Path) -> Path:
    """Download the canonical rows of a checked file to `path`. Raises DeskFailed."""
    return await _fetch(storage, file.canonical_key, file.canonical, path)


async def _fetch(storage: Storage, key: str, sha256: str | None, path: Path) -> Path:
    try:
        digest = await storage.get_file(key, path)
    except StorageMissing as e:
        raise DeskFailed("file_error", "The bytes of the file are no longer in storage.") from e
    if digest != sha256:
        raise DeskFailed("file_error", "The bytes in storage do not match what was written.")
    return path


def _full(what: str) -> DeskFailed:
    return DeskFailed("file_error", f"{what}. The operator must free space before you try again.")
