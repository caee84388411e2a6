"""Previews a file: its first rows, truncated to a bounded size, and other format options."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from service.datasets.checks.issues import DatasetError, Issue, IssueLog
from service.datasets.contract.preview import (
    ColumnsChoice,
    DelimiterChoice,
    EncodingChoice,
    FormatAlternatives,
    FoundFormat,
    GroupByChoice,
    HeaderRowChoice,
    Preview,
    PreviewRow,
    ShapeChoice,
    SheetChoice,
)
from service.datasets.formats.columns import (
    ColumnMeaning,
    RecordSample,
    find_record_shape,
    holds_labels,
    holds_prompts,
    interpret_columns,
    sample_records,
)
from service.datasets.formats.convert import (
    OpenedFile,
    SourceRow,
    Unpacked,
    checked_line,
    is_already_canonical,
    log_unused,
    open_container,
    read_records,
    to_source_row,
    unpack_source,
)
from service.datasets.formats.csv_records import regular_delimiters
from service.datasets.formats.detect import binary_container
from service.datasets.formats.encoding_detection import plausible_codecs
from service.datasets.formats.encodings import NAMES, decode
from service.datasets.formats.options import WORKBOOKS, FormatOptions, Record, Shape, row_format_of
from service.datasets.formats.shapes import named_like
from service.datasets.formats.table_layout import TableHead, find_layout, find_message_columns
from service.datasets.formats.transcode import DecodedFile, to_utf8

MAX_NAME_CHARS = 256  # the limit of names in format options
_MAX_TEXT_CHARS = 2_000
# The limits of one record or row. A character takes up to six bytes in JSON.
_MAX_CHARS = 16_000
_MAX_ITEMS = 100
_ITEM_CHARS = 8  # of an item without its text, such as a number or an empty list
_MAX_INTEGER_BITS = 63
_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")


def cut_value(value: Any) -> Any:
    """Return a JSON value with long texts, lists and objects truncated, each with a note."""
    return _Cutter().cut(value)


def cut_text(text: str, limit: int = _MAX_TEXT_CHARS) -> str:
    """Return valid Unicode text, truncated to `limit` characters with a note of the rest."""
    missing = len(text) - limit
    text = _SURROGATES.sub("\ufffd", text[:limit])
    return f"{text}… ({missing:,} more characters)" if missing > 0 else text


def cut_name(name: str) -> str:
    """Return the name of a column or sheet, no longer than a format option may be."""
    return _SURROGATES.sub("\ufffd", name[:MAX_NAME_CHARS])


def cut_cells(cells: list[str], *, count: int, chars: int) -> list[str]:
    """Return the first cells of a row, each as one short line."""
    short = [_BLANKS.sub(" ", _SURROGATES.sub("\ufffd", cell[: 4 * chars])) for cell in cells]
    return [text if len(text) <= chars else text[: chars - 1] + "…" for text in short[:count]]


def cut_issue(issue: Issue) -> Issue:
    """Return an issue with a truncated pointer, because pointers contain names of columns."""
    return msgspec.structs.replace(issue, pointer=cut_name(issue.pointer))


class _Cutter:
    """Truncates a value within a limit on all its texts together."""

    def __init__(self) -> None:
        self._left = _MAX_CHARS

    def cut(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and value.bit_length() <= _MAX_INTEGER_BITS:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, dict):
            return self._cut_object(value)
        if isinstance(value, list | tuple):
            return self._cut_list(value)
        return self._cut_text(value if isinstance(value, str) else str(value))

    def _cut_text(self, text: str) -> str:
        text = cut_text(text, max(0, min(_MAX_TEXT_CHARS, self._left)))
        self._left -= len(text)
        return text

    def _cut_object(self, value: dict[Any, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for place, (name, inner) in enumerate(value.items()):
            if place == _MAX_ITEMS or self._left <= 0:
                kept["…"] = f"({len(value) - place:,} more fields)"
                break
            name = cut_name(str(name))
            self._left -= len(name) + _ITEM_CHARS
            kept[name] = self.cut(inner)
        return kept

    def _cut_list(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        kept: list[Any] = []
        for place, inner in enumerate(value):
            if place == _MAX_ITEMS or self._left <= 0:
                kept.append(f"… ({len(value) - place:,} more items)")
                break
            self._left -= _ITEM_CHARS
            kept.append(self.cut(inner))
        return kept


# With one more row, the findings and the alternatives, a preview stays below 1 MiB.
_MAX_ROWS_BYTES = 512 * 1024
_MAX_ROW_FINDINGS = 20
_MAX_UNUSED_COLUMNS = 100


class Reading:
    """Reads the first `limit` rows of a file, or as many as can be read.

    If a step fails, the results of earlier steps remain available.
    """

    def __init__(self, options: FormatOptions, limit: int, log: IssueLog) -> None:
        self.options = options
        self.head = TableHead()
        self.unpacked: Unpacked | None = None
        self.opened: OpenedFile | None = None
        self.sample: RecordSample | None = None
        self.meaning: ColumnMeaning | None = None
        self.rows: list[PreviewRow] = []
        self._limit = limit
        self._log = log
        self._room = _MAX_ROWS_BYTES
        self._records: list[Record] = []  # the first ones, until `sample` is known

    def read(self, path: Path, work: Path) -> None:
        """Read the file. Raises DatasetError if it cannot be read as a whole."""
        self.unpacked = unpack_source(path, work, self.options, self._log)
        self.opened = open_container(self.unpacked.path, work, self.options, self._log)
        records = self._remember_first(
            read_records(self.opened, self.options, self._log, head=self.head)
        )
        try:
            self.sample = sample_records(records, self.opened.container, self.options)
            self.meaning = interpret_columns(self.sample, self.options, self._log)
        except DatasetError:
            self._show_records()
            raise
        log_unused(self.meaning, self._log)
        self._show_rows(self.opened, self.meaning)

    def describe_format(self) -> FoundFormat | None:
        """Return the known properties of the file's format, or None if the container is unknown."""
        if self.unpacked is None or self.opened is None:
            return None
        columns = self.meaning.named if self.meaning is not None else {}
        unused = self.meaning.unused if self.meaning is not None else []
        return FoundFormat(
            container=self.opened.container,
            compression=self.unpacked.compression,
            encoding=self.opened.encoding,
            delimiter=self.opened.delimiter,
            sheet=self.head.sheet,
            header_row=self.head.header_row,
            shape=self.meaning.shape if self.meaning is not None else None,
            columns={field: cut_name(column) for field, column in columns.items()},
            unused_columns=unused[:_MAX_UNUSED_COLUMNS],
        )

    def _remember_first(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            if len(self._records) < self._limit:
                self._records.append(record)
            yield record

    def _show_records(self) -> None:
        """Show records without rows, because their columns could not be interpreted."""
        records = self._records if self.sample is None else self.sample.first[: self._limit]
        for record in records:
            if not self._show(record, None, _issues_of(record)):
                break

    def _show_rows(self, opened: OpenedFile, meaning: ColumnMeaning) -> None:
        as_is = is_already_canonical(opened, meaning, self.options)
        row_format = row_format_of(meaning.shape)
        for record in islice(meaning.records, self._limit):
            if as_is and isinstance(record.value, dict):
                row = SourceRow(record.line, record.value, _issues_of(record))
            else:
                row = to_source_row(record, meaning, self.options)
            if not self._show(record, *checked_line(row, row_format)):
                break

    def _show(self, record: Record, line: bytes | None, issues: list[Issue]) -> bool:
        """Add a row, and return whether there is room for another one."""
        row = PreviewRow(
            line=record.line,
            record=cut_value(record.value) if isinstance(record.value, dict) else None,
            row=None if line is None else cut_value(msgspec.json.decode(line)),
            findings=[cut_issue(issue) for issue in issues[:_MAX_ROW_FINDINGS]],
        )
        self.rows.append(row)
        self._room -= len(msgspec.json.encode(row))
        return self._room > 0


def _issues_of(record: Record) -> list[Issue]:
    return [record.issue] if record.issue is not None else list(record.warnings)


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
        sheet=_unless_unreadable(reading, _sheets),
        header_row=_header_rows(reading),
        encoding=_unless_unreadable(reading, lambda reading: _encodings(reading, work)),
        delimiter=_delimiters(reading),
        shape=_shapes(reading),
        columns=_columns(reading),
        group_by=_groups(reading),
    )


def _unless_unreadable(reading: Reading, find: Callable[[Reading], list[T]]) -> list[T]:
    """Return the choices, or none if the file is not readable far enough to find them."""
    try:
        return find(reading)
    except DatasetError:
        return []


def _unless_used(choices: list[T], used: Callable[[T], bool]) -> list[T]:
    """Return the choices, or none if all of them are the option that was used."""
    return [] if all(used(choice) for choice in choices) else choices


def _sheets(reading: Reading) -> list[SheetChoice]:
    if reading.opened is None or reading.opened.container not in WORKBOOKS:
        return []
    # The library for workbooks takes long to import.
    from service.datasets.formats.workbook_records import first_rows_of_sheets

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
        text = DecodedFile(opened.path, opened.encoding or "", list(opened.sample))
    elif reading.unpacked is None or binary_container(reading.unpacked.path) is not None:
        return []
    else:
        text = _detected_text(reading, reading.unpacked.path, work)
    codec = _CODECS.get(text.encoding)
    if codec is None:
        return []
    if codec.startswith("utf") or not text.sample:
        # UTF encodings are certain, so they are an alternative only to an encoding that a user set.
        choices = [EncodingChoice(codec, _sample(_foreign_lines(text.path), "utf-8"))]
        return choices if given is not None and _opened_as(reading) != text.encoding else []
    used = text.encoding if given is None else _opened_as(reading)
    codecs = plausible_codecs(text.sample)[:_MAX_ENCODINGS]
    choices = [EncodingChoice(codec, _sample(text.sample, codec)) for codec in codecs]
    return _unless_used(choices, lambda choice: NAMES[choice.encoding] == used)


def _detected_text(reading: Reading, path: Path, work: Path) -> DecodedFile:
    """Detect the encoding of a text, ignoring the one that the user set."""
    options = msgspec.structs.replace(reading.options, encoding=None)
    return to_utf8(path, work / "detected", options, IssueLog(0))


def _opened_as(reading: Reading) -> str | None:
    """Return the name of the encoding in which the text was read."""
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
    if reading.sample is None:
        return []
    used = reading.meaning.shape if reading.meaning is not None else None
    choices = [
        ShapeChoice(shape, {field: cut_name(column) for field, column in fields.items()})
        for shape in get_args(Shape)
        if (fields := _fields_as(shape, reading.sample, reading.options)) is not None
    ]
    return _unless_used(choices, lambda choice: choice.shape == used)


def _fields_as(shape: Shape, sample: RecordSample, options: FormatOptions) -> dict[str, str] | None:
    """Return the column of each field of a shape, or None if the columns do not form it."""
    found = find_record_shape(sample, msgspec.structs.replace(options, shape=shape, group_by=None))
    if found is None or (shape == "labeled" and not holds_labels(sample, found[1]["label"])):
        return None
    if shape == "reinforcement" and not holds_prompts(
        sample, found[1].get("messages", ""), options
    ):
        return None
    return found[1]


def _columns(reading: Reading) -> list[ColumnsChoice]:
    sample = reading.sample
    if sample is None or reading.meaning is not None or not sample.columns:
        return []
    names = [cut_name(column) for column in sample.columns[:_MAX_COLUMNS]]
    return [ColumnsChoice(names, _candidates(sample))]


def _candidates(sample: RecordSample) -> dict[str, str]:
    """Return the likely columns of prompts and answers: by name, or because only two have prose."""
    columns = sample.columns[:_MAX_COLUMNS]
    prose = [column for column in columns if _is_prose(sample.values(column))]
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
    """Return whether a column contains prose: long texts that mostly differ."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    chars = sum(map(len, texts))
    if not texts or len(texts) * 2 < len(values) or chars < _PROSE_CHARS * len(texts):
        return False
    letters = sum(char.isalpha() for text in texts for char in text[:_MAX_ID_CHARS])
    looked_at = sum(min(len(text), _MAX_ID_CHARS) for text in texts)
    return letters >= _PROSE_LETTERS * looked_at and len(set(texts)) * 2 > len(texts)


def _groups(reading: Reading) -> list[GroupByChoice]:
    if reading.sample is None:
        return []
    sample, options = reading.sample, reading.options
    used = reading.meaning.named.get("group_by") if reading.meaning is not None else None
    choices = [
        GroupByChoice(cut_name(column))
        for column in sample.columns[:_MAX_COLUMNS]
        if find_message_columns(sample.columns, msgspec.structs.replace(options, group_by=column))
        and _are_runs(sample.values(column))
    ]
    return _unless_used(choices, lambda choice: choice.group_by == used)


def _are_runs(values: list[Any]) -> bool:
    """Return whether equal values are consecutive, like the IDs of conversations."""
    ids = [value for value in values if value not in (None, "")]
    if not all(isinstance(value, str | int) and len(str(value)) <= _MAX_ID_CHARS for value in ids):
        return False
    runs = [value for value, _ in groupby(ids)]
    return 2 <= len(runs) == len(set(runs)) < len(values)


_MAX_FINDINGS = 50
_MAX_FINDINGS_PER_CODE = 5  # such as lines in another encoding


def make_preview(path: Path, options: FormatOptions, *, limit: int, work: Path) -> Preview:
    """Read the first `limit` rows of a file. Errors of the file are part of the preview.

    Rows are read only as far as necessary, but a file is unpacked and transcoded as a whole.
    Temporary copies are created in the folder `work`.
    """
    log = IssueLog(_MAX_FINDINGS, code_limit=_MAX_FINDINGS_PER_CODE)
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
            found=reading.describe_format(),
            error=error,
            rows=reading.rows,
            findings=[cut_issue(issue) for issue in log.issues],
            alternatives=find_alternatives(reading, Path(others)),
        )
