"""The detected properties of a file.

This module imports no format libraries, so any module can import it cheaply.
"""

from __future__ import annotations

from typing import Literal

import msgspec

# What a canonical row is: a conversation, a pair of answers, an answer that was judged, a text, or
# a prompt whose answers a grader scores.
RowFormat = Literal["chat", "preference", "labeled", "text", "reinforcement"]


class SourceFacts(msgspec.Struct, frozen=True):
    """Detected properties of a file. `columns` maps the shape's fields to the file's columns."""

    bytes: int
    container: str
    compression: str | None
    encoding: str | None
    delimiter: str | None
    shape: str
    row_format: RowFormat
    columns: dict[str, str]
    unused_columns: list[str]


def canonical_facts(size: int, row_format: RowFormat) -> SourceFacts:
    """The properties of a canonical file of `size` bytes."""
    return SourceFacts(
        bytes=size,
        container="jsonl",
        compression=None,
        encoding="utf-8",
        delimiter=None,
        shape=row_format,
        row_format=row_format,
        columns={},
        unused_columns=[],
    )


def row_format_of(shape: object) -> RowFormat:
    """The row format that rows of a shape are made into."""
    match shape:
        case "preference":
            return "preference"
        case "labeled":
            return "labeled"
        case "text":
            return "text"
        case "reinforcement":
            return "reinforcement"
        case _:
            return "chat"
