"""Folders on a worker's disk that hold users' data while a task runs.

A folder is claimed with a lock that the system releases when the process dies, however it dies. So
`sweep` removes exactly the folders of dead processes, also of other workers on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

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
