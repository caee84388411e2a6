"""Types of the preview of a file."""

from __future__ import annotations

from typing import Any

import msgspec

from service.datasets.checks.issues import Issue


class FoundFormat(msgspec.Struct, frozen=True):
    """Format in which the file was read.

    `columns` maps the shape's fields to the file's columns. `header_row` is the number of the row
    that names the columns of a table, and 0 if none does. `shape` is null if the columns form none.
    """

    container: str
    compression: str | None
    encoding: str | None
    delimiter: str | None
    sheet: str | None
    header_row: int | None
    shape: str | None
    columns: dict[str, str]
    unused_columns: list[str]


class PreviewRow(msgspec.Struct, frozen=True):
    """One of the first rows.

    `record` has the value of each column, and is null if the row could not be read. If each row is
    a message, it is a conversation. `row` is the row that jobs would train on, and null if there is
    none. Texts are truncated to 2,000 characters.
    """

    line: int
    record: dict[str, Any] | None
    row: dict[str, Any] | None
    findings: list[Issue]


class SheetChoice(msgspec.Struct, frozen=True):
    """Sheet of a workbook, with its first row."""

    sheet: str
    cells: list[str]


class HeaderRowChoice(msgspec.Struct, frozen=True):
    """Row that could name the columns of a table. With 0, no row does."""

    header_row: int
    cells: list[str]


class EncodingChoice(msgspec.Struct, frozen=True):
    """Encoding that the text could have, with a sample decoded in it."""

    encoding: str
    sample: str


class DelimiterChoice(msgspec.Struct, frozen=True):
    """Delimiter that splits most lines of a table into the same number of fields."""

    delimiter: str
    fields: int


class ShapeChoice(msgspec.Struct, frozen=True):
    """Shape that the columns can form, with the column of each of its fields."""

    shape: str
    columns: dict[str, str]


class ColumnsChoice(msgspec.Struct, frozen=True):
    """Columns of a file whose columns are not recognized.

    `columns` maps the fields `prompt` and `completion` to the best candidate, if there is one.
    """

    names: list[str]
    columns: dict[str, str]


class GroupByChoice(msgspec.Struct, frozen=True):
    """Column that could have the ID of the conversation, if each row is a message."""

    group_by: str


class FormatAlternatives(msgspec.Struct, frozen=True, omit_defaults=True):
    """Other format options that the file allows. Options without a choice are omitted."""

    sheet: list[SheetChoice] = []
    header_row: list[HeaderRowChoice] = []
    encoding: list[EncodingChoice] = []
    delimiter: list[DelimiterChoice] = []
    shape: list[ShapeChoice] = []
    columns: list[ColumnsChoice] = []
    group_by: list[GroupByChoice] = []


class Preview(msgspec.Struct, frozen=True):
    """Preview of a file: its first rows as read, and the format options that it allows.

    `found` is null if the container is unknown. `error` is the reason why the file cannot be read,
    if the preview encounters one; `rows` are then the rows before the error, or records whose
    columns are not recognized. `findings` are about the file as a whole, or about lines before the
    first row.
    """

    found: FoundFormat | None
    error: Issue | None
    rows: list[PreviewRow]
    findings: list[Issue]
    alternatives: FormatAlternatives
