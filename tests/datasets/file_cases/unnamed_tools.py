"""Files of tools that no reader names, and files that only look like chats.

`unnamed_tools.jsonl` has a case in each line: a JSON `document`, JSON `lines` or a `text`, which
say the same unless the case has `rows`. Their forms are those of the tools' documentation or code.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import xlwt

from tests.datasets.file_cases.cases import SHOP, Case, Row, chat, chats, jsonl

TOPIC = "unnamed_tools"


def cases() -> Iterator[Case]:
    """Yield the cases."""
    for line in Path(__file__).with_suffix(".jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        rows = case.get("rows", [chat("Are you open?", "Yes, from nine.")])
        options, finding = case.get("options", {}), case.get("finding")
        yield Case(TOPIC, case["name"], _data(case), rows, options, finding)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for at, row in enumerate(chats(SHOP)):
            packed.writestr(f"chats/part-{at}.jsonl", jsonl([row]).rstrip())
    yield Case(TOPIC, "an archive in numbered parts", out.getvalue(), chats(SHOP))
    for kind, data in (("XLSX", _xlsx()), ("XLS", _xls())):
        yield Case(TOPIC, f"{kind} with groups of columns and dates", data, chats(SHOP))


def _data(case: Row) -> bytes:
    if "lines" in case:
        return jsonl(case["lines"])
    text = case.get("text") or json.dumps(case["document"], ensure_ascii=False)
    return str(text).encode()


def _table() -> list[tuple[Any, ...]]:
    days = (date(2026, 5, 13), None, "soon", 46_155.5)
    rows = [(*pair, day) for pair, day in zip(SHOP, days, strict=True)]
    return [("Support", None, "Meta"), ("Question", "Answer", "Date"), *rows]


def _xlsx() -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in _table():
        book.active.append(row)
    book.active.merge_cells("A1:B1")
    book.save(out)
    return out.getvalue()


def _xls() -> bytes:
    book, out = xlwt.Workbook(), io.BytesIO()
    sheet, day = book.add_sheet("Shop"), xlwt.easyxf(num_format_str="DD.MM.YYYY")
    sheet.write_merge(0, 0, 0, 1, "Support")
    for at, row in enumerate(_table()[1:], 1):
        for column, cell in enumerate(row):
            sheet.write(at, column, cell, day) if column == 2 else sheet.write(at, column, cell)
    book.save(out)
    return out.getvalue()
