"""Records of a workbook sheet, with last calculated values instead of formulas."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import (
    InvalidFileException,
)

from service.datasets.checks.fields import pointer_to
from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.errors import DatasetError, refuse
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.records import Record
from service.datasets.formats.unpack import unpacks_too_much

# The reader keeps all shared strings of the workbook in memory, so this limits memory use.
_MAX_UNPACKED_BYTES = 512 * 1024**2
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    InvalidFileException,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    SyntaxError,  # from the XML parser
    OSError,
    EOFError,
    RuntimeError,  # from zipfile: unknown compression or a password
)
_MERGED = re.compile(rb'<mergeCell ref="')
_BLOCK = 256 * 1024


def is_workbook(path: Path) -> bool:
    """Whether a ZIP archive is an XLSX workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def read_xlsx(path: Path, options: FormatOptions, log: IssueLog) -> Iterator[Record]:
    """Yield the rows below the header row as objects of strings and numbers.

    In a merged area, all cells except the first are empty. A formula that was never
    calculated has no value. Both are reported in `log`. Raises DatasetError if the workbook
    is damaged or unpacks to too many bytes, or if the sheet does not exist.
    """
    _check_archive(path, options)
    try:
        # Pass open files, because the reader rejects paths without a workbook suffix.
        with path.open("rb") as one, path.open("rb") as other:
            values = openpyxl.load_workbook(one, read_only=True, data_only=True)
            formulas = openpyxl.load_workbook(other, read_only=True, data_only=False)
            name = _sheet(values, options)
            if options.sheet is None:
                _log_other_sheets(values, log)
            _log_merged_areas(path, values[name], log)
            yield from _rows(values[name], formulas[name], log)
    except DatasetError:
        raise
    except _DAMAGE as error:
        raise refuse("damaged_workbook") from error


def _check_archive(path: Path, options: FormatOptions) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise refuse("damaged_workbook") from error
    if unpacked > _MAX_UNPACKED_BYTES:
        raise refuse("unpacks_too_large", limit=_MAX_UNPACKED_BYTES)
    # The limit is based on the file's size instead of the parts' compressed sizes, because
    # parts of an archive can overlap and would then be counted twice.
    if unpacked > (limit := options.limit_bytes(path.stat().st_size)):
        raise unpacks_too_much(limit, options)


def _sheet(book: Any, options: FormatOptions) -> str:
    if options.sheet is None:
        return str(book.sheetnames[0])
    if options.sheet not in book.sheetnames:
        raise refuse("unknown_sheet", count=len(book.sheetnames))
    return options.sheet


def _log_other_sheets(book: Any, log: IssueLog) -> None:
    """Report the number of nonempty sheets that are not read."""
    others = [book[name] for name in book.sheetnames[1:]]
    filled = [
        sheet
        for sheet in others
        if hasattr(sheet, "iter_rows")  # a chart sheet has no rows
        and any(cell is not None for row in sheet.iter_rows(values_only=True) for cell in row)
    ]
    if filled:
        log.add(make_issue("other_sheets", count=len(filled)))


def _log_merged_areas(path: Path, sheet: Any, log: IssueLog) -> None:
    """Report merged areas, found in the sheet's XML because the reader does not expose them."""
    count, tail = 0, b""
    with zipfile.ZipFile(path) as archive, archive.open(sheet._worksheet_path) as xml:
        while block := xml.read(_BLOCK):
            data = tail + block
            count += len(_MERGED.findall(data))
            tail = data[-15:]  # one byte less than the pattern, so no match is counted twice
    if count:
        log.add(make_issue("merged_cells", count=count))


def _rows(values: Any, formulas: Any, log: IssueLog) -> Iterator[Record]:
    names: list[str] | None = None
    pairs = zip(
        values.iter_rows(values_only=True), formulas.iter_rows(values_only=True), strict=True
    )
    for number, (row, written) in enumerate(pairs, 1):
        if all(cell is None for cell in written):
            continue
        if names is None:
            names = _header(row, number)
            continue
        record: dict[str, Any] = {}
        for name, cell, source in zip(names, row, written, strict=False):
            if cell is None and isinstance(source, str) and source.startswith("="):
                log.add(make_issue("formula_without_value", number, pointer_to("", name)))
            if cell is not None and name:
                record[name] = cell if isinstance(cell, str | int | float | bool) else str(cell)
        yield Record(number, record)


def _header(row: tuple[Any, ...], number: int) -> list[str]:
    names = ["" if cell is None else str(cell).strip() for cell in row]
    while names and not names[-1]:
        names.pop()
    for place, name in enumerate(names):
        if not name:
            raise refuse("unnamed_column", number, place=place + 1)
        if name in names[:place]:
            raise refuse("duplicate_column", number, place=place + 1)
    return names
