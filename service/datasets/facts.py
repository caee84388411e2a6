"""What a file was found to be. Imports no library of a format, so that anyone may."""

from __future__ import annotations

import msgspec


class SourceFacts(msgspec.Struct, frozen=True):
    """What a file was found to be. `columns` maps the shape's fields to its columns."""

    bytes: int
    container: str
    compression: str | None
    encoding: str | None
    delimiter: str | None
    shape: str
    row_format: str
    columns: dict[str, str]
    unused_columns: list[str]
