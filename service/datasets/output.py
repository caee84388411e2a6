"""Files that a task writes."""

from __future__ import annotations

import msgspec


class OutputFile(msgspec.Struct, frozen=True):
    """An output file: its path, rows (entries for a diff), size in bytes, and SHA-256."""

    path: str
    rows: int
    bytes: int
    sha256: str
