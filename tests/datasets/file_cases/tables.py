"""Tables and archives as people make them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import date
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from tests.datasets.file_cases.cases import SHOP, Case, chat, chats, jsonl
from tests.datasets.file_cases.encodings import table

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
HEADER = ("prompt", "completion")
PLAIN = table([HEADER, *SHOP])
TALKS = [("a", SHOP[:2]), ("b", SHOP[2:3]), ("c", SHOP[3:])]
LINES = PLAIN.splitlines()


def cases() -> Iterator[Case]:
    """Yield the cases: text tables, workbooks, Parquet, archives, and conversations in rows."""
    for name, data in (*_texts(), *_workbooks(), *_parquets(), *_archives()):
        yield Case("tables", name, data, chats(SHOP))
    yield from _conversations()
    yield from _with_options()
    yield from _refused()


def _texts() -> Iterator[tuple[str, bytes]]:
    yield "pandas index", table([("", *HEADER), *_numbered()]).encode()
    yield "pandas index named", table([("Unnamed: 0", *HEADER), *_numbered()]).encode()
    yield "trailing commas everywhere", "".join(f"{line},,\r\n" for line in LINES).encode()
    yield "trailing comma in the data", _joined(LINES[0], *(f"{line}," for line in LINES[1:]))
    yield "trailing comma in the header", _joined(f"{LINES[0]},", *LINES[1:])
    yield "empty rows of commas at the end", (PLAIN + ",\r\n,\r\n").encode()
    yield "sep line", ("sep=;\r\n" + table([HEADER, *SHOP], ";")).encode()
    yield "quoted sep line with BOM", ('\ufeff"sep=,"\r\n' + PLAIN).encode()
    yield "classic Mac line ends", PLAIN.replace("\r\n", "\r").encode()
    yield "title row", ("Support answers 2026,\r\n\r\n" + PLAIN).encode()
    yield "title row without commas", ("Support answers 2026\r\n" + PLAIN).encode()
    yield "title and date rows", ("Support answers,\r\nExported on,2026-03-01\r\n" + PLAIN).encode()
    yield "two header rows", ("Customer,Shop\r\n" + PLAIN).encode()
    yield "comment lines", ("# exported by the shop\r\n# 4 rows\r\n" + PLAIN).encode()
    yield "tabs", table([HEADER, *SHOP], "\t").encode()
    yield "Excel Unicode text", table([HEADER, *SHOP], "\t").encode("utf-16")
    yield "pipes", table([HEADER, *SHOP], "|").encode()
    yield "semicolons", table([HEADER, *SHOP], ";").encode()
    yield "capital names with spaces", table([(" Question ", "ANSWER"), *SHOP]).encode()
    yield "names in words", table([("User message", "Assistant response"), *SHOP]).encode()
    yield "bot names", table([("Customer question", "Bot answer"), *SHOP]).encode()
    yield (
        "form answers",
        table([("Timestamp", *HEADER), *(("2026/03/01 9:00", *pair) for pair in SHOP)]).encode(),
    )
    yield "two columns of notes", _wide(("prompt", "notes", "completion", "notes"))
    yield "unnamed column in the middle", _wide(("prompt", "", "completion", "tag"))
    yield "Markdown table", _markdown()


def _numbered() -> list[tuple[str, ...]]:
    return [(str(at), *pair) for at, pair in enumerate(SHOP)]


def _joined(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def _wide(header: tuple[str, ...]) -> bytes:
    return table([header, *((ask, "x", answer, "y") for ask, answer in SHOP)]).encode()


def _markdown() -> bytes:
    rows = [HEADER, ("---", "---"), *SHOP]
    return "".join(f"| {ask} | {answer} |\n" for ask, answer in rows).encode()


def workbook(sheets: dict[str, list[tuple[Any, ...]]], merged: str | None = None) -> bytes:
    """An XLSX file with the rows of each sheet, and a merged area on the last sheet."""
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        if merged:
            sheet.merge_cells(merged)
    book.save(out)
    return out.getvalue()


def _workbooks() -> Iterator[tuple[str, bytes]]:
    rows: list[tuple[Any, ...]] = [HEADER, *SHOP]
    yield "workbook", workbook({"Sheet1": rows})
    yield "merged title row", workbook({"Sheet1": [("Support answers",), *rows]}, "A1:B1")
    yield "merged title, empty row", workbook({"Q&A": [("Answers",), (), *rows]}, "A1:B1")
    yield "two header rows of a workbook", workbook({"S": [("Customer", "Shop"), *rows]})
    yield (
        "groups above the header",
        workbook(
            {
                "S": [
                    ("Dialog", None, "Editor"),
                    (*HEADER, "editor"),
                    *((*pair, "Ann") for pair in SHOP),
                ]
            },
            "A1:B1",
        ),
    )
    yield "second sheet, first empty", workbook({"Sheet1": [], "Data": rows})
    both = [
        ("ID", *HEADER),
        ("番号", "質問", "回答"),
        *((at, *pair) for at, pair in enumerate(SHOP)),
    ]
    yield "header in two languages", workbook({"Data": both})
    yield "second sheet, first a note", workbook({"Read me": [("Please review.",)], "Data": rows})
    yield "offset", workbook({"S": [(), (), *((None, None, *row) for row in rows)]})
    yield (
        "index column of a workbook",
        workbook({"S": [(None, *HEADER), *((at, *pair) for at, pair in enumerate(SHOP))]}),
    )
    yield (
        "column of dates",
        workbook({"S": [("date", *HEADER), *((date(2026, 3, 1), *pair) for pair in SHOP)]}),
    )
    yield "rows of spaces at the end", workbook({"S": [*rows, ("", None), (" ", " ")]})


def _parquets() -> Iterator[tuple[str, bytes]]:
    rows = [dict(zip(HEADER, pair, strict=True)) for pair in SHOP]
    yield "Parquet", parquet(rows)
    yield (
        "Parquet with a pandas index",
        parquet([{**row, "__index_level_0__": at} for at, row in enumerate(rows)]),
    )
    yield (
        "Parquet of ShareGPT",
        parquet(
            [
                {
                    "conversations": [
                        {"from": "human", "value": ask, "weight": None},
                        {"from": "gpt", "value": answer, "weight": None},
                    ]
                }
                for ask, answer in SHOP
            ]
        ),
    )


def parquet(rows: list[dict[str, Any]]) -> bytes:
    """A Parquet file."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    """A ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


def _archives() -> Iterator[tuple[str, bytes]]:
    text = PLAIN.encode()
    rows = jsonl(chats(SHOP))
    yield "ZIP of a table", archive({"answers.csv": text})
    yield "ZIP of JSON Lines in a folder", archive({"export/": b"", "export/train.jsonl": rows})
    yield (
        "ZIP from a Mac",
        archive({"a.csv": text, "__MACOSX/._a.csv": b"\0\5\x16\7", ".DS_Store": b"\0\0\0\1Bud1"}),
    )
    yield "ZIP with a read-me", archive({"README.txt": b"Made by the shop.", "rows.jsonl": rows})
    first, second = (
        table([HEADER, *SHOP[:2]]),
        table([("Nr", *HEADER), ("1", *SHOP[2]), ("2", *SHOP[3])]),
    )
    yield "ZIP of two tables", archive({"a.csv": first.encode(), "b.csv": second.encode()})
    yield "ZIP of a workbook", archive({"a.xlsx": workbook({"S": [HEADER, *SHOP]})})
    yield "gzip", gzip.compress(text)
    yield "bzip2", bz2.compress(text)
    yield "xz", lzma.compress(text)
    yield "tar.gz", _tar("answers.csv", text)


def _tar(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _conversations() -> Iterator[Case]:
    truth = [chat(*(text for pair in pairs for text in pair)) for _, pairs in TALKS]
    for name, header, roles in (
        ("one message a row", ("conversation_id", "role", "content"), ("user", "assistant")),
        ("speakers and texts", ("chat_id", "speaker", "text"), ("human", "bot")),
        ("sessions and senders", ("session_id", "sender", "message"), ("customer", "assistant")),
    ):
        rows = list(_turns(roles))
        yield Case("tables", name, table([header, *rows]).encode(), truth)
    rows = list(_turns(("user", "assistant")))
    yield Case(
        "tables",
        "one message a row of a workbook",
        workbook({"S": [("conversation_id", "role", "content"), *rows]}),
        truth,
    )
    order = [(*row, str(at)) for at, row in enumerate(rows)]
    mixed = [("conversation_id", "role", "content", "turn"), *order[:2][::-1], *order[2:]]
    yield Case("tables", "turns out of order", table(mixed).encode(), truth)
    named = [("ticket", "role", "content"), *rows]
    yield Case("tables", "group_by", table(named).encode(), truth, {"group_by": "ticket"})
    merged = [
        (talk if at == 0 else "", *said)
        for talk, _ in TALKS
        for at, said in enumerate(line[1:] for line in _turns(("user", "assistant"), talk))
    ]
    yield Case(
        "tables",
        "the id on the first message only",
        table([("conversation_id", "role", "content"), *merged]).encode(),
        truth,
    )


def _turns(roles: tuple[str, str], only: str | None = None) -> Iterator[tuple[str, ...]]:
    for talk, pairs in TALKS:
        for pair in pairs if only in (None, talk) else []:
            for role, text in zip(roles, pair, strict=True):
                yield talk, role, text


def _with_options() -> Iterator[Case]:
    odd: list[tuple[str, ...]] = [("Kunde", "Wir"), *SHOP]
    mapped = {"columns": {"prompt": "Kunde", "completion": "Wir"}}
    yield Case("tables", "columns", table(odd).encode(), chats(SHOP), mapped)
    deep = [("Report", "1"), ("of", "2"), *odd]
    yield Case(
        "tables", "header_row", table(deep).encode(), chats(SHOP), {**mapped, "header_row": 3}
    )
    yield Case(
        "tables",
        "header_row of a workbook",
        workbook({"S": deep}),
        chats(SHOP),
        {**mapped, "header_row": 3},
    )
    yield Case(
        "tables",
        "no header row",
        table([*SHOP]).encode(),
        chats(SHOP),
        {"header_row": 0, "columns": {"prompt": "column 1", "completion": "column 2"}},
    )
    both = {"Old": [HEADER, ("a", "b")], "New": [HEADER, *SHOP]}
    yield Case("tables", "sheet", workbook(both), chats(SHOP), {"sheet": "New"})


def _refused() -> Iterator[Case]:
    for name, data, code, remedy in (
        ("headless table", table([*SHOP]).encode(), "unknown_columns", "header_row"),
        ("unknown names", table([("Kunde", "Wir"), *SHOP]).encode(), "unknown_columns", "columns"),
        (
            "training and test data in a ZIP",
            archive({"train.csv": PLAIN.encode(), "test.csv": PLAIN.encode()}),
            "several_files",
            "validation",
        ),
        (
            "two sheets",
            workbook({"A": [HEADER, *SHOP], "B": [HEADER, *SHOP]}),
            "several_sheets",
            "sheet",
        ),
        ("ZIP with a password", _locked(), "damaged_archive", "password"),
        (
            "old workbook",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
            "document",
            "XLSX",
        ),
        ("OpenDocument", _open_document(), "damaged_workbook", "XLSX"),
        ("7z", b"7z\xbc\xaf\x27\x1c" + bytes(60), "document", "ZIP"),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "damaged_document", "password"),
        (
            "messages without conversations",
            table([("speaker", "text"), ("human", "Hi"), ("bot", "Hello")]).encode(),
            "unknown_columns",
            "group_by",
        ),
    ):
        yield Case("tables", name, data, None, finding=code, remedy=remedy)


def _locked() -> bytes:
    """A ZIP archive whose entry claims to be encrypted."""
    data = bytearray(archive({"a.csv": PLAIN.encode()}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def _open_document() -> bytes:
    kind = b"application/vnd.oasis.opendocument.spreadsheet"
    return archive({"mimetype": kind, "content.xml": b"<office:document-content/>"})
