"""Cache in .cache for files that tests build or download once, shared by pytest processes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
CACHE: Final = ROOT / ".cache"


@contextmanager
def cache(name: str) -> Iterator[Path]:
    """Yield the file or folder with this name in the cache, locked for the duration of the block.

    A second process waits and then finds what the first one built.
    """
    place = CACHE / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place
