"""Types of a file's format: options that a user sets, detected properties, and records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from service.datasets.checks.issues import Issue

Container = Literal["jsonl", "json", "csv", "parquet", "xlsx", "xls", "ods", "document", "text"]
WORKBOOKS: Final = ("xlsx", "xls", "ods")
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
    `sheet` is the first sheet with a table. `columns` maps a field of the shape to its column, for
    columns with nonstandard names: {"prompt": "Frage", "completion": "Antwort"}. `roles` maps a
    role in the data to a standard role: {"kunde": "user"}. `system` is the system message to add to
    rows without one. `header_row` is the number of the row that names the columns, from 1, or 0 if
    no row does. `group_by` is the column with the ID of the conversation, if each row is a message.
    `is_document` is whether the file's name is that of plain text or Markdown: such a file is
    `text` if it is neither JSON nor a table. Once unpacked or converted, a file may take at most
    `max_unpacked_bytes`, and at most 8 MiB plus `max_expansion` times its size.
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


# Canonical rows: a conversation, a preferred and a rejected answer, a judged answer, a text, or a
# prompt whose answers a grader scores.
RowFormat = Literal["chat", "preference", "labeled", "text", "reinforcement"]
_ROW_FORMATS: dict[object, RowFormat] = {name: name for name in get_args(RowFormat)}


class SourceFacts(msgspec.Struct, frozen=True):
    """Detected properties of a file. `columns` maps the shape's fields to the file's columns."""

    bytes: Annotated[int, Meta(description="Size of the file in bytes.")]
    container: Annotated[str, Meta(description="File format, such as `csv` or `jsonl`.")]
    compression: Annotated[
        str | None, Meta(description="Compression, such as `gzip`; null if there is none.")
    ]
    encoding: Annotated[str | None, Meta(description="Text encoding; null for binary formats.")]
    delimiter: Annotated[
        str | None, Meta(description="Delimiter of the fields of a table; null for other formats.")
    ]
    shape: Annotated[str, Meta(description="Shape of the rows, such as `chat` or `alpaca`.")]
    row_format: Annotated[RowFormat, Meta(description="Format that the rows are converted to.")]
    columns: Annotated[
        dict[str, str], Meta(description="Column of the file for each of the shape's fields.")
    ]
    unused_columns: Annotated[list[str], Meta(description="Columns that are not used.")]


def canonical_facts(size: int, row_format: RowFormat) -> SourceFacts:
    """Return the properties of a canonical file of `size` bytes."""
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
    """Return the row format that rows of a shape are converted to."""
    return _ROW_FORMATS.get(shape, "chat")


class Record(NamedTuple):
    """The value of a row before it is interpreted, or the issue that made it unreadable.

    `line` is the number of the line or row, from 1. `warnings` are about a readable row.
    """

    line: int
    value: Any
    issue: Issue | None = None
    warnings: tuple[Issue, ...] = ()
