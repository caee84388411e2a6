"""The format of a file: options that the user states, and properties that were detected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Container = Literal["jsonl", "json", "csv", "parquet", "xlsx", "text"]
Shape = Literal[
    "chat",
    "preference",
    "labeled",
    "prompt_completion",
    "alpaca",
    "sharegpt",
    "text",
    "reinforcement",
]


# A ratio is not meaningful for a few rows: repetitive text compresses a thousandfold.
_ALLOWANCE_BYTES = 8 * 1024**2


class FormatOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options for reading a file.

    If omitted, `container`, `shape`, `encoding`, `delimiter`, and `header_row` are detected, and
    `sheet` is the first sheet with a table. `columns` maps a field of the shape to the column
    that holds it, for columns with nonstandard names: {"prompt": "Frage", "completion":
    "Antwort"}. `roles` maps a role in the data to a standard role: {"kunde": "user"}. `system`
    is the system message
    to add to rows that have none. `header_row` is the number of the row that names the columns,
    from 1, or 0 if none does. `group_by` is the column with the id of the conversation, if each
    row is a message. `is_document` is whether the file's name is that of a plain text or of
    Markdown: it is then read as `text` if it is neither JSON nor a table. Once unpacked or
    converted, a file may take at most `max_unpacked_bytes`, and at most 8 MiB plus `max_expansion`
    times its size.
    """

    container: Container | None = None
    shape: Shape | None = None
    encoding: str | None = None
    columns: Mapping[str, str] = msgspec.field(default_factory=dict)
    roles: Mapping[str, str] = msgspec.field(default_factory=dict)
    system: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    header_row: int | None = None
    group_by: str | None = None
    is_document: bool = False
    max_unpacked_bytes: int = 16 * 1024**3
    max_expansion: int = 200

    def limit_bytes(self, size: int) -> int:
        """Return the maximum size of a file of `size` bytes once unpacked or converted.

        Ordinary compressed text expands 20 to 50 times. Without a limit relative to its size,
        a file of a few kilobytes could fill the storage.
        """
        return min(self.max_unpacked_bytes, _ALLOWANCE_BYTES + size * self.max_expansion)


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
