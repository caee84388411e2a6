"""A file written and digested in one pass."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self


class DigestWriter:
    """Writes bytes to a new file; knows their number and their sha256."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._digest = hashlib.sha256()
        self._file = path.open("wb")

    def write(self, data: bytes) -> None:
        """Appends the bytes."""
        self._digest.update(data)
        self.bytes += self._file.write(data)

    @property
    def sha256(self) -> str:
        """The digest so far, in hex."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()
