"""Makes the preview of a file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from service.datasets.checks.issues import DatasetError, IssueLog
from service.datasets.formats.columns import RecordSample, holds_labels, holds_prompts, shape_of
from service.datasets.formats.csv_records import regular_delimiters
from service.datasets.formats.detect import binary_container
from service.datasets.formats.encoding_detection import plausible_codecs
from service.datasets.formats.encodings import NAMES, decode
from service.datasets.formats.options import FormatOptions, Shape
from service.datasets.formats.shapes import named_like
from service.datasets.formats.table_layout import find_layout, find_message_columns
from service.datasets.formats.transcode import Text, to_utf8
from service.datasets.preview.preview import (
    ColumnsChoice,
    DelimiterChoice,
    EncodingChoice,
    FormatAlternatives,
    GroupByChoice,
    HeaderRowChoice,
    Preview,
    ShapeChoice,
    SheetChoice,
)
from service.datasets.preview.reading import Reading, cut_cells, cut_issue, cut_name

_MAX_SHEETS = 50
_MAX_HEADER_ROWS = 10
_MAX_ENCODINGS = 6
_MAX_COLUMNS = 50
_HEAD_BYTES = 256 * 1024
_SAMPLE_CHARS = 80
_MAX_ID_CHARS = 64
# Prose is mostly letters, unlike dates and numbers, and longer than names and labels.
_PROSE_CHARS = 12
_PROSE_LETTERS = 0.6
_CODECS = {name: codec for codec, name in NAMES.items()}

T = TypeVar("T")


def find_alternatives(reading: Reading, work: Path) -> FormatAlternatives:
    """Find the options with which the file could also be read. `work` is an empty folder."""
    return FormatAlternatives(
        sheet=_where(reading, _sheets),
        header_row=_header_rows(reading),
        encoding=_where(reading, lambda reading: _encodings(reading, work)),
        delimiter=_delimiters(reading),
        shape=_shapes(reading),
        columns=_columns(reading),
        group_by=_groups(reading),
    )


def _where(reading: Reading, find: Callable[[Reading], list[T]]) -> list[T]:
    """Return the choices if the file can be read so far."""
    try:
        return find(reading)
    except DatasetError:
        return []


def _unless_used(choices: list[T], used: Callable[[T], bool]) -> list[T]:
    """Return the choices, or none if there is only the one that was used."""
    return [] if all(used(choice) for choice in choices) else choices


def _sheets(reading: Reading) -> list[SheetChoice]:
    if reading.opened is None or reading.opened.container != "xlsx":
        return []
    # The library for workbooks takes long to import.
    from service.datasets.formats.xlsx_records import first_rows_of_sheets

    rows = first_rows_of_sheets(reading.opened.path, reading.options)
    choices = [
        SheetChoice(cut_name(name), cut_cells(cells, count=8, chars=40))
        for name, cells in list(rows.items())[:_MAX_SHEETS]
    ]
    return _unless_used(choices, lambda choice: choice.sheet == reading.head.sheet)


def _header_rows(reading: Reading) -> list[HeaderRowChoice]:
    rows = reading.head.rows[:_MAX_HEADER_ROWS]
    if not rows:
        return []
    numbered = find_layout(rows, FormatOptions(header_row=0)).names
    return [
        HeaderRowChoice(number, cut_cells(list(cells), count=20, chars=60))
        for number, cells in [*((row.number, row.cells) for row in rows), (0, numbered)]
    ]


def _encodings(reading: Reading, work: Path) -> list[EncodingChoice]:
    given, opened = reading.options.encoding, reading.opened
    if opened is not None and given is None:
        text = Text(opened.path, opened.encoding or "", list(opened.sample))
    elif reading.unpacked is None or binary_container(reading.unpacked.path) is not None:
        return []
    else:
        text = _detected_text(reading, reading.unpacked.path, work)
    codec = _CODECS.get(text.encoding)
    if codec is None:
        return []
    if codec.startswith("utf") or not text.sample:
        # What is detected in these is certain, so it is an alternative to a given encoding only.
        choices = [EncodingChoice(codec, _sample(_foreign_lines(text.path), "utf-8"))]
        return choices if given is not None and _opened_as(reading) != text.encoding else []
    used = text.encoding if given is None else _opened_as(reading)
    codecs = plausible_codecs(text.sample)[:_MAX_ENCODINGS]
    choices = [EncodingChoice(codec, _sample(text.sample, codec)) for codec in codecs]
    return _unless_used(choices, lambda choice: NAMES[choice.encoding] == used)


def _detected_text(reading: Reading, path: Path, work: Path) -> Text:
    """Detect the encoding of a text regardless of the given one."""
    options = msgspec.structs.replace(reading.options, encoding=None)
    return to_utf8(path, work / "detected", options, IssueLog(0))


def _opened_as(reading: Reading) -> str | None:
    """The name of the encoding in which the text was read."""
    return reading.opened.encoding if reading.opened is not None else None


def _foreign_lines(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        lines = file.read(_HEAD_BYTES).split(b"\n")
    return [line for line in lines if not line.isascii()] or lines


def _sample(lines: Iterable[bytes], codec: str) -> str:
    """Return a short text around the first character that is not ASCII."""
    for line in lines:
        try:
            text = decode(line, codec)
        except UnicodeDecodeError:
            continue
        at = next((place for place, char in enumerate(text) if not char.isascii()), 0)
        start = max(0, at - _SAMPLE_CHARS // 4)
        return cut_cells([text[start : start + _SAMPLE_CHARS]], count=1, chars=_SAMPLE_CHARS)[0]
    return ""


def _delimiters(reading: Reading) -> list[DelimiterChoice]:
    if reading.opened is None or reading.opened.container != "csv":
        return []
    used = reading.opened.delimiter
    with reading.opened.path.open("rb") as file:
        regular = regular_delimiters(file.read(_HEAD_BYTES))
    choices = [DelimiterChoice(delimiter, fields) for delimiter, fields in regular.items()]
    return _unless_used(choices, lambda choice: choice.delimiter == used)


def _shapes(reading: Reading) -> list[ShapeChoice]:
    if reading.looked is None:
        return []
    used = reading.meaning.shape if reading.meaning is not None else None
    choices = [
        ShapeChoice(shape, {field: cut_name(column) for field, column in fields.items()})
        for shape in get_args(Shape)
        if (fields := _fields_as(shape, reading.looked, reading.options)) is not None
    ]
    return _unless_used(choices, lambda choice: choice.shape == used)


def _fields_as(shape: Shape, looked: RecordSample, options: FormatOptions) -> dict[str, str] | None:
    """The columns of the fields of a shape, or None if the columns do not form it."""
    found = shape_of(looked, msgspec.structs.replace(options, shape=shape, group_by=None))
    if found is None or (shape == "labeled" and not holds_labels(looked, found[1]["label"])):
        return None
    if shape == "reinforcement" and not holds_prompts(
        looked, found[1].get("messages", ""), options
    ):
        return None
    return found[1]


def _columns(reading: Reading) -> list[ColumnsChoice]:
    looked = reading.looked
    if looked is None or reading.meaning is not None or not looked.columns:
        return []
    names = [cut_name(column) for column in looked.columns[:_MAX_COLUMNS]]
    return [ColumnsChoice(names, _candidates(looked))]


def _candidates(looked: RecordSample) -> dict[str, str]:
    """The likely columns of prompts and answers, by their names or because only two hold prose."""
    columns = looked.columns[:_MAX_COLUMNS]
    prose = [column for column in columns if _is_prose(looked.values(column))]
    found = {
        field: like[0]
        for field in ("prompt", "completion")
        if len(like := named_like(field, columns)) == 1
    }
    if len(prose) == 2:
        others = [column for column in prose if column not in found.values()]
        for field in ("prompt", "completion"):
            if field not in found and others and len(others) + len(found) == 2:
                found[field] = others.pop(0)
    if len(set(found.values())) < len(found):
        return {}
    return {field: cut_name(column) for field, column in found.items()}


def _is_prose(values: list[Any]) -> bool:
    """Whether a column holds texts, most of which differ."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    chars = sum(map(len, texts))
    if not texts or len(texts) * 2 < len(values) or chars < _PROSE_CHARS * len(texts):
        return False
    letters = sum(char.isalpha() for text in texts for char in text[:_MAX_ID_CHARS])
    looked_at = sum(min(len(text), _MAX_ID_CHARS) for text in texts)
    return letters >= _PROSE_LETTERS * looked_at and len(set(texts)) * 2 > len(texts)


def _groups(reading: Reading) -> list[GroupByChoice]:
    if reading.looked is None:
        return []
    looked, options = reading.looked, reading.options
    used = reading.meaning.named.get("group_by") if reading.meaning is not None else None
    choices = [
        GroupByChoice(cut_name(column))
        for column in looked.columns[:_MAX_COLUMNS]
        if find_message_columns(looked.columns, msgspec.structs.replace(options, group_by=column))
        and _are_runs(looked.values(column))
    ]
    return _unless_used(choices, lambda choice: choice.group_by == used)


def _are_runs(values: list[Any]) -> bool:
    """Whether equal values are next to each other, as the messages of a conversation are."""
    ids = [value for value in values if value not in (None, "")]
    if not all(isinstance(value, str | int) and len(str(value)) <= _MAX_ID_CHARS for value in ids):
        return False
    runs = [value for value, _ in groupby(ids)]
    return 2 <= len(runs) == len(set(runs)) < len(values)


_MAX_FINDINGS = 50
_MAX_OF_A_CODE = 5  # of the same finding, such as a line in another encoding


def make_preview(path: Path, options: FormatOptions, *, limit: int, work: Path) -> Preview:
    """Read the first `limit` rows of a file. What is wrong with the file is part of the preview.

    Rows are read only as far as necessary, but a file is unpacked and transcoded as a whole.
    Temporary copies are created in the folder `work`.
    """
    log = IssueLog(_MAX_FINDINGS, code_limit=_MAX_OF_A_CODE)
    reading, error = Reading(options, limit, log), None
    with (
        tempfile.TemporaryDirectory(dir=work, prefix=".unpacked-") as copies,
        tempfile.TemporaryDirectory(dir=work, prefix=".detected-") as others,
    ):
        try:
            reading.read(path, Path(copies))
        except DatasetError as e:
            error = cut_issue(e.issue)
        return Preview(
            found=reading.found(),
            error=error,
            rows=reading.rows,
            findings=[cut_issue(issue) for issue in log.issues],
            alternatives=find_alternatives(reading, Path(others)),
        )
