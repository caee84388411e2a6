"""Types of the preview of a file."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.datasets.checks.issues import Issue


class FoundFormat(msgspec.Struct, frozen=True):
    """Format in which the file was read.

    `columns` maps the shape's fields to the file's columns. `header_row` is the number of the row
    that names the columns of a table, and 0 if none does. `shape` is null if the columns form none.
    """

    container: Annotated[str, Meta(description="File format, such as `csv` or `jsonl`.")]
    compression: Annotated[
        str | None, Meta(description="Compression, such as `gzip`; null if there is none.")
    ]
    encoding: Annotated[str | None, Meta(description="Text encoding; null for binary formats.")]
    delimiter: Annotated[
        str | None, Meta(description="Delimiter of the fields of a table; null for other formats.")
    ]
    sheet: Annotated[str | None, Meta(description="Sheet of a workbook; null for other formats.")]
    header_row: Annotated[
        int | None,
        Meta(
            description="Number of the row that names the columns, or 0 if none does; null if "
            "the file is no table."
        ),
    ]
    shape: Annotated[
        str | None,
        Meta(
            description="Shape of the rows, such as `chat` or `alpaca`; null if the "
            "columns form none."
        ),
    ]
    columns: Annotated[
        dict[str, str], Meta(description="Column of the file for each of the shape's fields.")
    ]
    unused_columns: Annotated[list[str], Meta(description="Columns that are not used.")]


class PreviewRow(msgspec.Struct, frozen=True):
    """One of the first rows.

    `record` has the value of each column, and is null if the row could not be read. If each row is
    a message, it is a conversation. `row` is the row that jobs would train on, and null if there is
    none. Texts are truncated to 2,000 characters.
    """

    line: Annotated[int, Meta(description="Line number.")]
    record: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Value of each column; null if the row could not be read. If each row "
            "is a message, the whole conversation."
        ),
    ]
    row: Annotated[
        dict[str, Any] | None,
        Meta(description="Row that jobs would train on; null if there is none."),
    ]
    findings: Annotated[list[Issue], Meta(description="Issues found in the row.")]


class SheetChoice(msgspec.Struct, frozen=True):
    """Sheet of a workbook, with its first row."""

    sheet: Annotated[str, Meta(description="Name of the sheet.")]
    cells: Annotated[list[str], Meta(description="Cells of its first row.")]


class HeaderRowChoice(msgspec.Struct, frozen=True):
    """Row that could name the columns of a table. With 0, no row does."""

    header_row: Annotated[int, Meta(description="Number of the row, or 0 for no header row.")]
    cells: Annotated[list[str], Meta(description="Cells of the row.")]


class EncodingChoice(msgspec.Struct, frozen=True):
    """Encoding that the text could have, with a sample decoded in it."""

    encoding: Annotated[str, Meta(description="Name of the encoding.")]
    sample: Annotated[str, Meta(description="Text decoded with this encoding.")]


class DelimiterChoice(msgspec.Struct, frozen=True):
    """Delimiter that splits most lines of a table into the same number of fields."""

    delimiter: Annotated[str, Meta(description="Delimiter of the fields.")]
    fields: Annotated[int, Meta(description="Number of fields per line.")]


class ShapeChoice(msgspec.Struct, frozen=True):
    """Shape that the columns can form, with the column of each of its fields."""

    shape: Annotated[str, Meta(description="Name of the shape.")]
    columns: Annotated[
        dict[str, str], Meta(description="Column of the file for each of the shape's fields.")
    ]


class ColumnsChoice(msgspec.Struct, frozen=True):
    """Columns of a file whose columns are not recognized.

    `columns` maps the fields `prompt` and `completion` to the best candidate, if there is one.
    """

    names: Annotated[list[str], Meta(description="Names of all columns.")]
    columns: Annotated[
        dict[str, str],
        Meta(description="Best candidates for the fields `prompt` and `completion`."),
    ]


class GroupByChoice(msgspec.Struct, frozen=True):
    """Column that could have the ID of the conversation, if each row is a message."""

    group_by: Annotated[str, Meta(description="Name of the column.")]


class FormatAlternatives(msgspec.Struct, frozen=True, omit_defaults=True):
    """Other format options that the file allows. Options without a choice are omitted."""

    sheet: Annotated[list[SheetChoice], Meta(description="Other sheets of a workbook.")] = []
    header_row: Annotated[
        list[HeaderRowChoice], Meta(description="Other rows that could name the columns.")
    ] = []
    encoding: Annotated[
        list[EncodingChoice], Meta(description="Other encodings that the text could have.")
    ] = []
    delimiter: Annotated[
        list[DelimiterChoice], Meta(description="Other delimiters that split the lines evenly.")
    ] = []
    shape: Annotated[
        list[ShapeChoice], Meta(description="Other shapes that the columns can form.")
    ] = []
    columns: Annotated[
        list[ColumnsChoice], Meta(description="Columns to choose from, if they are not recognized.")
    ] = []
    group_by: Annotated[
        list[GroupByChoice], Meta(description="Columns that could have the ID of the conversation.")
    ] = []


class Preview(msgspec.Struct, frozen=True):
    """Preview of a file: its first rows as read, and the format options that it allows.

    `found` is null if the container is unknown. `error` is the reason why the file cannot be read,
    if the preview encounters one; `rows` are then the rows before the error, or records whose
    columns are not recognized. `findings` are about the file as a whole, or about lines before the
    first row.
    """

    found: Annotated[
        FoundFormat | None,
        Meta(description="Format in which the file was read; null if the container is unknown."),
    ]
    error: Annotated[
        Issue | None,
        Meta(
            description="Reason why the file cannot be read; null if the preview encountered none."
        ),
    ]
    rows: Annotated[list[PreviewRow], Meta(description="First rows.")]
    findings: Annotated[
        list[Issue],
        Meta(description="Issues of the file as a whole, or of lines before the first row."),
    ]
    alternatives: Annotated[
        FormatAlternatives, Meta(description="Other format options that the file allows.")
    ]
