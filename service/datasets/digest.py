"""A file written and digested in one pass."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self

from service.datasets.errors import refuse


class DigestWriter:
    """Writes bytes to a new file; knows their number and their sha256.

    `limit` is the most bytes of rows that it takes, none if not set.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path = path
        self.bytes = 0
        self._limit = limit
        self._digest = hashlib.sha256()
        self._file = path.open("wb")

    def write(self, data: bytes) -> None:
        """Appends the bytes."""
        self._digest.update(data)
        self.bytes += self._file.write(data)

    def write_row(self, data: bytes, line: int) -> None:
        """Appends the row of that source line. Raises DatasetError over the limit."""
        if self._limit is not None and self.bytes + len(data) > self._limit:
            raise refuse("rows_too_large", line, limit=self._limit)
        self.write(data)

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
