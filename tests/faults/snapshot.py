"""Everything that an installation stores, to be put back before each case."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.core.redis import Client


@dataclass(frozen=True)
class Snapshot:
    """The keys of a Redis database, with what remains of their lives, and copies of folders."""

    keys: Sequence[tuple[bytes, int, bytes]]
    copies: Sequence[tuple[Path, Path]]
    """Each folder, and its copy."""

    @classmethod
    async def take(cls, redis: Client, folders: Sequence[Path], place: Path) -> Self:
        """Save a database, and folders below `place`."""
        names: list[bytes] = sorted(await redis.keys())
        async with redis.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.pttl(name)
                pipe.dump(name)
            found = await pipe.execute()
        keys = [
            (name, max(left_ms, 0), content)
            for name, left_ms, content in zip(names, found[::2], found[1::2], strict=True)
            if content is not None  # it expired in between
        ]
        copies = [(folder, place / folder.name) for folder in folders]
        for folder, copy in copies:
            _replace(copy, folder)
        return cls(keys, copies)

    async def restore(self, redis: Client) -> None:
        """Make the database and the folders what they were."""
        async with redis.pipeline(transaction=True) as pipe:
            pipe.flushdb()
            for name, left_ms, content in self.keys:
                pipe.restore(name, left_ms, content)
            await pipe.execute()
        for folder, copy in self.copies:
            _replace(folder, copy)


def _replace(folder: Path, by: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(by, folder)
