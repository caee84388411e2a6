"""Reads a sheet of an XLSX workbook. Formulas become their last calculated values."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from service.datasets.checks.issues import DatasetError, IssueLog, make_issue, pointer_to, refuse
from service.datasets.formats.decompression import ZIP_DAMAGE, unpacks_too_much
from service.datasets.formats.options import FormatOptions, Record
from service.datasets.formats.table_layout import (
    NumberedRow,
    TableHead,
    forms_shape,
    log_titles,
    sample_rows_limit,
)

# The reader keeps all shared strings of the workbook in memory, so this limits memory use.
_MAX_UNPACKED_BYTES = 512 * 1024**2
_DAMAGE = (
    *ZIP_DAMAGE,
    InvalidFileException,
    KeyError,
    TypeError,
    SyntaxError,  # from the XML parser
)
_MERGED = re.compile(rb'<mergeCell ref="')
_SAMPLE_SHEET_ROWS = 50
_BLOCK = 256 * 1024


def read_xlsx(
    path: Path, options: FormatOptions, log: IssueLog, *, head: TableHead | None = None
) -> Iterator[Record]:
    """Yield the rows below the header row as objects of strings and numbers.

    In a merged area, all cells except the first are empty. A formula that was never
    calculated has no value. Both are logged. The sheet and its first rows are stored in `head`.
    Raises DatasetError if the workbook is damaged or unpacks to too many bytes, or if the
    sheet does not exist.
    """
    head = head or TableHead()
    _check_archive(path, options)
    with _refuse_damage(), path.open("rb") as one, path.open("rb") as other:
        values = _load(one, values=True)
        formulas = _load(other, values=False)
        name = _choose_sheet(values, options)
        head.sheet = name
        if options.sheet is None:
            _log_other_sheets(values, name, log)
        _log_merged_areas(path, values[name], log)
        yield from _rows(values[name], formulas[name], options, log, head)


def first_rows_of_sheets(path: Path, options: FormatOptions) -> dict[str, list[str]]:
    """Return the first row that is not blank of each sheet, by the name of the sheet.

    Raises DatasetError if the workbook is damaged or unpacks to too many bytes.
    """
    _check_archive(path, options)
    with _refuse_damage(), path.open("rb") as file:
        book = _load(file, values=True)
        rows = {str(name): _first_rows(book[name]) for name in book.sheetnames}
        return {name: _texts(first[0]) for name, first in rows.items() if first}


@contextmanager
def _refuse_damage() -> Iterator[None]:
    try:
        yield
    except DatasetError:
        raise
    except _DAMAGE as error:
        raise refuse("damaged_workbook") from error


def _load(file: IO[bytes], *, values: bool) -> Any:
    """Load a workbook from an open file, because the reader refuses paths without a suffix."""
    return openpyxl.load_workbook(file, read_only=True, data_only=values)


def _check_archive(path: Path, options: FormatOptions) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except ZIP_DAMAGE as error:
        raise refuse("damaged_workbook") from error
    if unpacked > _MAX_UNPACKED_BYTES:
        raise refuse("unpacks_too_large", limit=_MAX_UNPACKED_BYTES)
    # The limit is based on the file's size instead of the parts' compressed sizes, because
    # parts of an archive can overlap and would then be counted twice.
    if unpacked > (limit := options.limit_bytes(path.stat().st_size)):
        raise unpacks_too_much(limit, options)


def _choose_sheet(book: Any, options: FormatOptions) -> str:
    """Return the named sheet, else the first with readable columns, else the first with data."""
    if options.sheet is not None:
        if options.sheet not in book.sheetnames:
            raise refuse("unknown_sheet", count=len(book.sheetnames))
        return options.sheet
    filled = [(name, rows) for name in book.sheetnames if (rows := _first_rows(book[name]))]
    for name, rows in filled:
        if any(forms_shape(_texts(row), options) for row in rows):
            return str(name)
    return str(filled[0][0] if filled else book.sheetnames[0])


def _first_rows(sheet: Any) -> list[tuple[Any, ...]]:
    """Return the first rows of a sheet that are not blank. A chart sheet has none."""
    if not hasattr(sheet, "iter_rows"):
        return []
    rows = islice(sheet.iter_rows(values_only=True), _SAMPLE_SHEET_ROWS)
    return list(filter(_is_filled, rows))


def _log_other_sheets(book: Any, chosen: str, log: IssueLog) -> None:
    """Log the number of nonempty sheets that are not read."""
    filled = sum(name != chosen and bool(_first_rows(book[name])) for name in book.sheetnames)
    if filled:
        log.add(make_issue("other_sheets", count=filled))


def _log_merged_areas(path: Path, sheet: Any, log: IssueLog) -> None:
    """Log the number of merged areas, from the sheet's XML because openpyxl hides them here."""
    count, tail = 0, b""
    with zipfile.ZipFile(path) as archive, archive.open(sheet._worksheet_path) as xml:
        while block := xml.read(_BLOCK):
            data = tail + block
            count += len(_MERGED.findall(data))
            tail = data[-15:]  # one byte less than the pattern, so no match is counted twice
    if count:
        log.add(make_issue("merged_cells", count=count))


def _rows(
    values: Any, formulas: Any, options: FormatOptions, log: IssueLog, head: TableHead
) -> Iterator[Record]:
    pairs = enumerate(
        zip(values.iter_rows(values_only=True), formulas.iter_rows(values_only=True), strict=True),
        1,
    )
    filled = ((number, row, written) for number, (row, written) in pairs if _is_filled(written))
    first = list(islice(filled, sample_rows_limit(options)))
    if not first:
        raise refuse("empty_file")
    layout = head.find_layout(
        [NumberedRow(number, _texts(row)) for number, row, _ in first], options
    )
    log_titles(log, [number for number, _, _ in first], layout)
    for number, row, written in chain(first, filled):
        if number <= layout.header_row:
            continue
        record: dict[str, Any] = {}
        for name, cell, source in zip(layout.names, row, written, strict=False):
            if cell is None and isinstance(source, str) and source.startswith("="):
                log.add(make_issue("formula_without_value", number, pointer_to("", name)))
            if cell is not None:
                record[name] = cell if isinstance(cell, str | int | float | bool) else str(cell)
        yield Record(number, record)


def _is_filled(cells: tuple[Any, ...]) -> bool:
    return any(
        cell is not None and not (isinstance(cell, str) and not cell.strip()) for cell in cells
    )


def _texts(row: tuple[Any, ...]) -> list[str]:
    return ["" if cell is None else str(cell) for cell in row]
