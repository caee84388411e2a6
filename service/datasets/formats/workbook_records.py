"""Reads a sheet of a workbook: XLSX, XLS or ODS. Formulas become their last calculated values."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    SheetVisibleEnum,
)

from service.datasets.checks.issues import DatasetError, IssueLog, make_issue, printable, refuse
from service.datasets.formats.decompression import unpacks_too_much
from service.datasets.formats.documents import ZIP_DAMAGE
from service.datasets.formats.options import FormatOptions, Record
from service.datasets.formats.table_layout import (
    NumberedRow,
    TableHead,
    forms_shape,
    is_total,
    log_titles,
    sample_rows_limit,
)

# The reader keeps the sheet in memory, also its empty cells, so these limit memory use.
_MAX_UNPACKED_BYTES = 512 * 1024**2
_MAX_CELLS = 20_000_000
_SAMPLE_SHEET_ROWS = 50
_MAX_LISTED = 10
_BLOCK = 256 * 1024
_CELL_BYTES = 24  # of the longest match of the pattern
_CELL = re.compile(rb'<c r="([A-Z]{1,3})(\d{1,7})"')
_NO_VALUE = re.compile(
    rb'<c r="[A-Z]{1,3}(\d{1,7})"[^>]*>\s*<f(?:[^>]*/>|[^>]*>[^<]*</f>)'
    rb"\s*(?:<v\s*/>|<v></v>)?\s*</c>"
)
_SHEET = re.compile(rb'<(?:\w+:)?sheet\s[^>]*?\bid="([^"]+)"')
_LINK = re.compile(rb"<(?:\w+:)?Relationship\s[^>]*>")
_ATTRIBUTE = re.compile(rb'(\w+)="([^"]*)"')

Cells = list[Any]


def read_workbook(
    path: Path, options: FormatOptions, log: IssueLog, *, head: TableHead | None = None
) -> Iterator[Record]:
    """Yield the rows below the header row as objects of strings and numbers.

    Dates are in ISO 8601. In a merged area, each row has the value of the first one. A formula that
    was never calculated has no value, which is logged for XLSX. The sheet and its first rows are
    stored in `head`. Raises DatasetError if the workbook is damaged or too large, or if the sheet
    does not exist.
    """
    head = head or TableHead()
    with _refuse_damage():
        book = _open(path, options)
        name = head.sheet = _choose_sheet(book, options, log)
        _log_formulas(path, book.sheet_names.index(name), log)
        yield from _rows(book.get_sheet_by_name(name), options, log, head)


def first_rows_of_sheets(path: Path, options: FormatOptions) -> dict[str, list[str]]:
    """Return the first row that is not blank of each sheet, by the name of the sheet.

    Raises DatasetError if the workbook is damaged or too large.
    """
    with _refuse_damage():
        book = _open(path, options)
        rows = {name: _first_rows(book, name) for name in book.sheet_names}
        return {name: _texts(first[0]) for name, first in rows.items() if first}


@contextmanager
def _refuse_damage() -> Iterator[None]:
    try:
        yield
    except DatasetError:
        raise
    except (CalamineError, *ZIP_DAMAGE) as error:
        raise refuse("damaged_workbook") from error
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":  # a fault in the reader is no Exception
            raise
        raise refuse("damaged_workbook") from error


def _open(path: Path, options: FormatOptions) -> CalamineWorkbook:
    if zipfile.is_zipfile(path):
        _check_archive(path, options)
    return CalamineWorkbook.from_path(path)


def _check_archive(path: Path, options: FormatOptions) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    unpacked = sum(info.file_size for info in parts)
    if unpacked > _MAX_UNPACKED_BYTES:
        raise refuse("unpacks_too_large", limit=_MAX_UNPACKED_BYTES)
    # The limit is based on the file's size instead of the parts' compressed sizes, because
    # parts of an archive can overlap and would then be counted twice.
    if unpacked > (limit := options.limit_bytes(path.stat().st_size)):
        raise unpacks_too_much(limit, options)
    with zipfile.ZipFile(path) as archive:
        for info in parts:
            if "/worksheets/" in info.filename:
                with archive.open(info) as xml:
                    _check_extent(xml)


def _check_extent(xml: IO[bytes]) -> None:
    """Raise DatasetError if the last cell of an XLSX sheet is too far from the first."""
    rows, columns, tail = 0, b"", b""
    while block := xml.read(_BLOCK):
        for column, row in _CELL.findall(tail + block):
            rows = max(rows, int(row))
            columns = max(columns, column, key=lambda name: (len(name), name))
        tail = block[-_CELL_BYTES:]
    width = 0
    for letter in columns:
        width = width * 26 + letter - 64
    if rows * width > _MAX_CELLS:
        raise refuse("sheet_too_large", cell=f"{columns.decode()}{rows}", limit=_MAX_CELLS)


def _choose_sheet(book: CalamineWorkbook, options: FormatOptions, log: IssueLog) -> str:
    """Return the named sheet, else the only one with readable columns, else the first with data.

    Logs the number of nonempty sheets that are not read, unless one is named. Raises DatasetError
    if several have readable columns.
    """
    names = book.sheet_names
    if options.sheet is not None:
        if options.sheet not in names:
            raise refuse("unknown_sheet", count=len(names))
        return options.sheet
    names = [
        one.name for one in book.sheets_metadata if one.visible == SheetVisibleEnum.Visible
    ] or names
    if len(names) == 1:
        return names[0]
    # Each look at a sheet reads all of it.
    filled = [(name, rows) for name in names if (rows := _first_rows(book, name))]
    tables = [
        name for name, rows in filled if any(forms_shape(_texts(row), options) for row in rows)
    ]
    if len(tables) > 1:
        shown = ", ".join(map(printable, tables[:_MAX_LISTED]))
        raise refuse("several_sheets", count=len(tables), names=shown)
    if len(filled) > 1:
        log.add(make_issue("other_sheets", count=len(filled) - 1))
    return [*tables, *(name for name, _ in filled), *names][0]


def _first_rows(book: CalamineWorkbook, name: str) -> list[Cells]:
    """Return the first rows of a sheet that are not blank. A chart sheet has none."""
    rows = islice(book.get_sheet_by_name(name).iter_rows(), _SAMPLE_SHEET_ROWS)
    return list(filter(_is_filled, rows))


def _log_formulas(path: Path, place: int, log: IssueLog) -> None:
    """Log the formulas of an XLSX sheet that have no value, which the reader does not tell."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        part = _part_of(archive, place)
        if part is None:
            return
        tail = b""
        with archive.open(part) as xml:
            while block := xml.read(_BLOCK):
                data = tail + block
                end = data.rfind(b"</c>") + 4
                for match in _NO_VALUE.finditer(data, 0, end):
                    log.add(make_issue("formula_without_value", int(match.group(1))))
                tail = data[end:]


def _part_of(archive: zipfile.ZipFile, place: int) -> str | None:
    """Return the path of a sheet in an XLSX archive, or None if it is not found."""
    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= set(archive.namelist()):
        return None
    ids = _SHEET.findall(archive.read("xl/workbook.xml"))
    links = _LINK.findall(archive.read("xl/_rels/workbook.xml.rels"))
    found = [dict(_ATTRIBUTE.findall(link)) for link in links]
    targets = {link.get(b"Id"): link.get(b"Target", b"").decode() for link in found}
    part = targets.get(ids[place]) if place < len(ids) else None
    if part is None:
        return None
    part = part.lstrip("/") if part.startswith("/") else f"xl/{part}"
    return part if part in archive.namelist() else None


def _rows(
    sheet: CalamineSheet, options: FormatOptions, log: IssueLog, head: TableHead
) -> Iterator[Record]:
    filled = ((number, row) for number, row in enumerate(sheet.iter_rows(), 1) if _is_filled(row))
    first = list(islice(filled, sample_rows_limit(options)))
    if not first:
        raise refuse("empty_file")
    layout = head.find_layout([NumberedRow(number, _texts(row)) for number, row in first], options)
    log_titles(log, [number for number, _ in first], layout)
    merged = _merged_below(sheet, layout.header_row)
    if merged:
        log.add(make_issue("merged_cells", count=len(merged)))
    bottoms = {(top, column): bottom for top, bottom, column in merged}
    open_areas: dict[int, tuple[int, Any]] = {}  # by column: the last row, and the value
    for number, row in chain(first, filled):
        if number <= layout.header_row or is_total(_texts(row)):
            continue
        for column, cell in enumerate(row):
            if (number, column) in bottoms:
                open_areas[column] = (bottoms[number, column], cell)
            elif column in open_areas and number <= open_areas[column][0]:
                row[column] = open_areas[column][1]
        yield Record(
            number,
            {n: _value(c) for n, c in zip(layout.names, row, strict=False) if c != ""},
        )


def _merged_below(sheet: CalamineSheet, header_row: int) -> list[tuple[int, int, int]]:
    """Return the first row, the last row and the column of each merged area below the names.

    Rows count from 1, and columns from the first one that the reader returns.
    """
    left = (sheet.start or (0, 0))[1]
    return [
        (top + 1, bottom + 1, column - left)
        for (top, column), (bottom, _) in sheet.merged_cell_ranges or ()
        if bottom > top and top + 1 > header_row
    ]


def _value(cell: Any) -> Any:
    """Return a cell as a JSON value. The reader gives all numbers as floats."""
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return cell if isinstance(cell, str | int | float | bool) else _text(cell)


def _text(cell: Any) -> str:
    if isinstance(cell, date | datetime | time):
        return cell.isoformat()
    return str(_value(cell) if isinstance(cell, float) else cell)


def _is_filled(cells: Cells) -> bool:
    return any(not isinstance(cell, str) or cell.strip() for cell in cells)


def _texts(row: Cells) -> list[str]:
    return [_text(cell) for cell in row]
