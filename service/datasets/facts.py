"""The detected properties of a file.

This module imports no format libraries, so any module can import it cheaply.
"""

from __future__ import annotations

import msgspec


class SourceFacts(msgspec.Struct, frozen=True):
    """Detected properties of a file. `columns` maps the shape's fields to the file's columns."""

    bytes: int
    container: str
    compression: str | None
    encoding: str | None
    delimiter: str | None
    shape: str
    row_format: str
    columns: dict[str, str]
    unused_columns: list[str]
