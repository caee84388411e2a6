"""What tests make or fetch once and keep in .cache, which several pytest processes share."""

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
    """The folder or file of this name in the cache, held until the block ends.

    Whoever comes second waits, and finds what the first one made.
    """
    place = CACHE / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place
