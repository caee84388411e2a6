"""Tests of the input formats: detection from the content, and conversion to canonical chats."""

from __future__ import annotations

import bz2
import contextlib
import csv
import functools
import gzip
import io
import json
import lzma
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlwt
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.datasets.checks.issues import DatasetError, IssueLog
from service.datasets.contract.tasks import ConvertResult
from service.datasets.formats.chat_texts import text_chat
from service.datasets.formats.convert import convert
from service.datasets.formats.decompression import extract, unpack
from service.datasets.formats.options import FormatOptions
from tests.datasets.office_documents import docx, epub, pdf, pptx
from tests.datasets.support import canonical_form, jsonl

DOCX = {"[Content_Types].xml": b"", "word/document.xml": b"<w/>"}
PAIRS = [
    ("営業時間は？", "平日の九時から十八時までです。"),
    ('He said "hi",\nthen left', "สวัสดีค่ะ; ยินดีให้บริการ"),
    ("路由器怎么重启？", "请长按电源键十秒。"),
]


def chats(pairs: list[tuple[str, str]], system: str | None = None) -> list[dict[str, Any]]:
    head = [{"role": "system", "content": system}] if system else []
    return [
        {
            "messages": [
                *head,
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": answer},
            ]
        }
        for prompt, answer in pairs
    ]


def table(rows: list[list[str]], delimiter: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def workbook(rows: list[list[Any]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(out)
    return out.getvalue()


def zipped(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def xls(rows: list[list[Any]]) -> bytes:
    book, out = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("Sheet")
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            sheet.write(number, column, cell)
    book.save(out)
    return out.getvalue()


def ods(rows: list[list[str]]) -> bytes:
    names = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = " ".join(f'xmlns:{one}="{names}:{one}:1.0"' for one in ("office", "table", "text"))
    start, end = (
        '<table:table-cell office:value-type="string"><text:p>',
        "</text:p></table:table-cell>",
    )
    cells = "".join(
        f"<table:table-row>{''.join(start + cell + end for cell in row)}</table:table-row>"
        for row in rows
    )
    content = (
        f"<office:document-content {spaces}><office:body><office:spreadsheet>"
        f'<table:table table:name="S">{cells}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    kind = b"application/vnd.oasis.opendocument.spreadsheet"
    manifest = b"<manifest:manifest/>"
    return zipped(
        {"mimetype": kind, "META-INF/manifest.xml": manifest, "content.xml": content.encode()}
    )


def far_cell() -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["prompt", "completion"])
    book.active["XFD1048576"] = "x"
    book.save(out)
    return out.getvalue()


def run(
    folder: Path, data: bytes, options: FormatOptions | None = None
) -> tuple[list[Any], ConvertResult]:
    source, out = folder / "source", folder / "out.jsonl"
    source.write_bytes(data)
    result = convert(source, out, options)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == result.rows
    assert list(folder.iterdir()) == [source, out] or sorted(folder.iterdir()) == [out, source]
    return rows, result


ROWS = [list(pair) for pair in PAIRS]
RECORDS = [{"prompt": p, "completion": c} for p, c in PAIRS]
Data = bytes | Callable[[], bytes]
"""A file, or a function that makes it on first use, because each process collects all tests."""


@functools.cache
def made(data: Data) -> bytes:
    return data if isinstance(data, bytes) else data()


CASES: list[tuple[str, Data, str, str]] = [
    ("jsonl chat", jsonl(chats(PAIRS)), "jsonl", "chat"),
    ("json array", json.dumps(chats(PAIRS)).encode(), "json", "chat"),
    ("printed array", json.dumps(RECORDS, indent=2).encode(), "json", "prompt_completion"),
    (
        "printed objects",
        "\n".join(json.dumps(row, indent=1) for row in RECORDS).encode(),
        "json",
        "prompt_completion",
    ),
    ("pairs", jsonl(RECORDS), "jsonl", "prompt_completion"),
    ("csv", table([["prompt", "completion"], *ROWS], ","), "csv", "prompt_completion"),
    ("tsv", table([["question", "answer"], *ROWS], "\t"), "csv", "prompt_completion"),
    ("semicolons", table([["Frage", "Antwort"], *ROWS], ";"), "csv", "prompt_completion"),
    ("thai header", table([["คำถาม", "คำตอบ"], *ROWS], ","), "csv", "prompt_completion"),
    ("chinese header", table([["问题", "回答"], *ROWS], ","), "csv", "prompt_completion"),
    (
        "alpaca",
        jsonl([{"instruction": p, "input": "", "output": c} for p, c in PAIRS]),
        "jsonl",
        "alpaca",
    ),
    (
        "sharegpt",
        jsonl(
            [
                {"conversations": [{"from": "human", "value": p}, {"from": "gpt", "value": c}]}
                for p, c in PAIRS
            ]
        ),
        "jsonl",
        "sharegpt",
    ),
    ("parquet", lambda: parquet(RECORDS), "parquet", "prompt_completion"),
    ("parquet chat", lambda: parquet(chats(PAIRS)), "parquet", "chat"),
    (
        "xlsx",
        lambda: workbook([["prompt", "completion"], *ROWS]),
        "xlsx",
        "prompt_completion",
    ),
    (
        "json in csv",
        table(
            [["messages"], *[[json.dumps(row["messages"])] for row in chats(PAIRS)]], ","
        ).replace(b"messages", b"messages,id", 1).replace(b'"\r\n', b'",7\r\n'),
        "csv",
        "chat",
    ),
]  # fmt: skip
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize(
    ("data", "container", "shape"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_each_format_becomes_the_same_chats(
    tmp_path: Path, data: Data, container: str, shape: str
) -> None:
    rows, result = run(tmp_path, made(data))
    assert rows == chats(PAIRS)
    assert (result.facts.container, result.facts.shape) == (container, shape)
    assert (result.facts.compression, result.validation.ok) == (None, True)


@pytest.mark.parametrize("packer", ["gzip", "zstd"])
@pytest.mark.parametrize("name", ["jsonl chat", "csv", "parquet", "xlsx"])
def test_compressed_files_are_unpacked(tmp_path: Path, name: str, packer: str) -> None:
    (data,) = (case[1] for case in CASES if case[0] == name)
    rows, result = run(tmp_path, PACKERS[packer](made(data)))
    assert rows == chats(PAIRS)
    assert result.facts.compression == packer


@pytest.mark.parametrize(
    ("encoding", "name", "text"),
    [
        ("utf-8", "UTF-8", PAIRS),
        ("utf-8-sig", "UTF-8 with BOM", PAIRS),
        ("utf-16", "UTF-16", PAIRS),
        ("utf-16-le", "UTF-16 LE", PAIRS),
        ("utf-16-be", "UTF-16 BE", PAIRS),
        ("gb18030", "GB18030", [("已经付款的订单如何修改地址？", "请联系客服中心，我们会帮您。")]),
        ("gbk", "GB18030", [("路由器怎么重启？", "请长按电源键十秒，然后再试一次。")]),
        ("big5", "Big5", [("已經付款的訂單如何修改地址？", "請聯絡客服中心，我們會幫您。")]),
        ("shift_jis", "Shift-JIS", PAIRS[:1]),
        ("euc_jp", "EUC-JP", PAIRS[:1]),
        ("euc_kr", "EUC-KR", [("배송지를 어떻게 변경하나요?", "내역에서 변경할 수 있습니다.")]),
        ("tis_620", "TIS-620", [("ร้านเปิดกี่โมง", "เปิดตั้งแต่เก้าโมงเช้าถึงหกโมงเย็น")]),
        ("cp1252", "Windows-1252", [("Où êtes-vous situés ?", "À Genève, près de la gare.")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("container", ["jsonl", "csv"])
def test_encodings_are_detected_and_reported(
    tmp_path: Path, encoding: str, name: str, text: list[tuple[str, str]], container: str
) -> None:
    data = (
        jsonl(chats(text))
        if container == "jsonl"
        else table([["prompt", "completion"], *map(list, text)], ",")
    )
    rows, result = run(tmp_path, data.decode().encode(encoding))
    assert rows == chats(text)
    assert result.facts.encoding == name


def test_a_named_encoding_is_used(tmp_path: Path) -> None:
    data = "prompt,completion\nx,\u20ac\n".encode("gb18030")
    rows, result = run(tmp_path, data, FormatOptions(encoding="GBK"))
    assert rows == chats([("x", "€")])
    assert result.facts.encoding == "GB18030"


def test_lines_in_another_encoding_are_repaired_and_reported(tmp_path: Path) -> None:
    lines = jsonl(chats(PAIRS[:1] * 5)).splitlines(keepends=True)
    strange = jsonl(chats([("路由器怎么重启？", "请长按电源键十秒，然后再试一次。")]))
    lines[2] = strange.decode().encode("gbk")
    rows, result = run(tmp_path, b"".join(lines))
    assert rows[2] == json.loads(strange)
    assert [(i.code, i.line) for i in result.validation.issues] == [("mixed_encoding", 3)]
    lines[2:2] = [b'{"messages": "\xff\xfe\xfd"}\n']
    rows, result = run(tmp_path, b"".join(lines))
    assert ("invalid_utf8", 3) in [(i.code, i.line) for i in result.validation.issues]


def test_columns_and_roles_are_mapped(tmp_path: Path) -> None:
    data = table([["id", "Anfrage", "Reply text"], *[["7", p, c] for p, c in PAIRS]], ",")
    options = FormatOptions(
        columns={"prompt": "Anfrage", "completion": "Reply text"}, system="Be brief."
    )
    rows, result = run(tmp_path, data, options)
    assert rows == chats(PAIRS, system="Be brief.")
    assert result.facts.unused_columns == ["id"]
    rows, _ = run(
        tmp_path,
        jsonl([{"dialogue": [{"from": "Kunde", "value": "a"}, {"from": "gpt", "value": "b"}]}]),
        FormatOptions(roles={"Kunde": "user"}),
    )
    assert rows == chats([("a", "b")])


def test_sharegpt_tools_become_tool_calls(tmp_path: Path) -> None:
    row = {
        "system": "s",
        "tools": json.dumps([{"name": "f", "parameters": {}}]),
        "conversations": [
            {"from": "human", "value": "a"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
            {"from": "observation", "value": "42"},
            {"from": "gpt", "value": "b"},
        ],
    }
    rows, result = run(tmp_path, jsonl([row]))
    assert result.validation.ok
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    assert rows[0]["messages"][2:4] == [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "call_1"},
    ]
    assert rows[0]["tools"][0]["function"]["name"] == "f"


@pytest.mark.parametrize("style", ["openai", "flat", "messages"])
def test_preference_shapes(tmp_path: Path, style: str) -> None:
    user, better, worse = ({"role": r, "content": c} for r, c in (
        ("user", "q"), ("assistant", "good"), ("assistant", "bad")))  # fmt: skip
    row = {
        "openai": {
            "input": {"messages": [user]},
            "preferred_output": [better],
            "non_preferred_output": [worse],
        },
        "flat": {"prompt": "q", "chosen": "good", "rejected": "bad"},
        "messages": {"prompt": [user], "chosen": [user, better], "rejected": [user, worse]},
    }[style]
    rows, result = run(tmp_path, jsonl([row, row]))
    assert result.facts.row_format == "preference"
    assert rows[0]["input"] == {"messages": [user]}
    assert (rows[0]["preferred_output"], rows[0]["non_preferred_output"]) == ([better], [worse])


def xlsx_with_formulas() -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    for row in (["prompt", "completion"], ["a", "b"], ["c", "=1+1"], ["d", "e"], ["f", "g"]):
        sheet.append(row)
    sheet.merge_cells("A4:A5")
    book.save(out)
    return out.getvalue()


def test_formulas_and_merged_cells_are_reported(tmp_path: Path) -> None:
    rows, result = run(tmp_path, xlsx_with_formulas())
    assert rows == chats([("a", "b"), ("d", "e"), ("d", "g")])
    counts = result.validation.counts
    assert counts == {"merged_cells": 1, "formula_without_value": 1, "empty_field": 1}
    lines = {issue.code: issue.line for issue in result.validation.issues}
    assert lines["empty_field"] == lines["formula_without_value"] == 3


def test_dates_and_numbers_of_a_workbook_are_as_people_write_them(tmp_path: Path) -> None:
    cells = [date(2026, 5, 1), datetime.fromisoformat("2026-05-01T09:30"), 7, 2.5]
    rows, _ = run(tmp_path, workbook([["prompt", "completion"], *(["a", cell] for cell in cells)]))
    answers = [row["messages"][-1]["content"] for row in rows]
    assert answers == ["2026-05-01", "2026-05-01T09:30:00", "7", "2.5"]


@pytest.mark.parametrize("write", [xls, ods])
def test_other_kinds_of_workbooks_are_read(tmp_path: Path, write: Any) -> None:
    rows, _ = run(tmp_path, write([["prompt", "completion"], *map(list, PAIRS)]))
    assert rows == chats(PAIRS)


@pytest.mark.parametrize("write", [docx, pptx, epub])
def test_documents_become_texts(tmp_path: Path, write: Any) -> None:
    rows, _ = run(tmp_path, write("Returns", "Within 14 days."))
    assert rows == [{"text": "# Returns\n\nWithin 14 days."}]
    rows, _ = run(tmp_path, b"<!DOCTYPE html><html><body><h1>Returns</h1><p>Within 14 days.")
    assert rows == [{"text": "# Returns\n\nWithin 14 days."}]


def test_chats_are_detected_by_the_head_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "one-line.json"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        assert text_chat(path) is None
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_ragged_rows_are_refused_one_by_one(tmp_path: Path) -> None:
    data = b"prompt,completion\na,b\nc\nd,e,f\n\ng,h\n"
    rows, result = run(tmp_path, data)
    assert rows == chats([("a", "b"), ("g", "h")])
    issues = [(i.code, i.line) for i in result.validation.issues]
    assert issues == [("ragged_row", 3), ("ragged_row", 4)]


def test_a_scalar_in_an_array_is_reported(tmp_path: Path) -> None:
    data = json.dumps([chats(PAIRS)[0], 7, "x", *chats(PAIRS)[1:], [1]]).encode()
    rows, result = run(tmp_path, data)
    assert rows == chats(PAIRS)
    assert result.validation.counts["not_an_object"] >= 2


def bomb(kind: str) -> bytes:
    megabyte, out = b"0" * 2**20, io.BytesIO()
    if kind == "gzip":
        with gzip.GzipFile(fileobj=out, mode="wb") as file:
            for _ in range(40):
                file.write(megabyte)
        return out.getvalue()
    if kind == "zstd":
        return zstandard.compress(megabyte * 40)
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("rows.jsonl", megabyte * 40)
        return out.getvalue()
    return bz2.compress(megabyte * 40) if kind == "bzip2" else lzma.compress(megabyte * 40)


def odd_zip(change: dict[int, int]) -> bytes:
    """A ZIP archive with other bytes at these places of its directory's only entry."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("a", jsonl(RECORDS))
    data = bytearray(out.getvalue())
    entry = data.index(b"PK\x01\x02")
    for place, value in change.items():
        data[entry + place] = value
    return bytes(data)


HEADER = ["prompt", "completion"]
OPEN_QUOTE = b'prompt,completion\na,"'
REFUSED: list[tuple[str, Data, FormatOptions, str]] = [
    ("empty", b"", FormatOptions(), "empty_file"),
    ("blank", b" \n\n", FormatOptions(), "empty_file"),
    ("gzip bomb", lambda: bomb("gzip"), FormatOptions(), "unpacks_too_far"),
    ("zstd bomb", lambda: bomb("zstd"), FormatOptions(), "unpacks_too_far"),
    ("bzip2 bomb", lambda: bomb("bzip2"), FormatOptions(), "unpacks_too_far"),
    ("xz bomb", lambda: bomb("xz"), FormatOptions(), "unpacks_too_far"),
    ("ZIP bomb", lambda: bomb("zip"), FormatOptions(), "unpacks_too_far"),
    ("cut bzip2", bz2.compress(jsonl(RECORDS))[:-20], FormatOptions(), "damaged_archive"),
    ("cut xz", lzma.compress(jsonl(RECORDS))[:-20], FormatOptions(), "damaged_archive"),
    ("size", gzip.compress(b"{}" * 99), FormatOptions(max_unpacked_bytes=9), "unpacks_too_large"),
    ("cut gzip", gzip.compress(jsonl(RECORDS))[:-20], FormatOptions(), "damaged_archive"),
    ("broken gzip", b"\x1f\x8bnonsense", FormatOptions(), "damaged_archive"),
    ("YAML with aliases", b"a: &a\n- x\nb: *a\n", FormatOptions(), "document"),
    ("nested YAML", b"a:" + b" [" * 99 + b"]" * 99 + b"\n", FormatOptions(), "nesting_too_deep"),
    ("damaged XML", b"<?xml version='1.0'?><faq><q>Why?</q>", FormatOptions(), "document"),
    ("damaged database", b"SQLite format 3\0" + bytes(2_000), FormatOptions(), "document"),
    ("broken zstd", b"\x28\xb5\x2f\xfdnonsense", FormatOptions(), "damaged_archive"),
    ("prose", b"Dear all,\nplease find attached", FormatOptions(), "unknown_format"),
    ("pdf", b"%PDF-1.7 1 0 obj", FormatOptions(), "damaged_document"),
    ("scan", pdf("", ""), FormatOptions(), "scanned_document"),
    ("docx", zipped(DOCX), FormatOptions(), "damaged_document"),
    ("rtf", b"{\\rtf1 Hi}", FormatOptions(), "document"),
    ("far cell", far_cell(), FormatOptions(), "sheet_too_large"),
    ("zip", b"PK\x03\x04nonsense", FormatOptions(), "unknown_format"),
    ("zip of a new version", odd_zip({6: 77}), FormatOptions(), "unknown_format"),
    ("zip without a name", odd_zip({28: 0, 30: 1}), FormatOptions(), "damaged_archive"),
    ("broken parquet", b"PAR1nonsensePAR1", FormatOptions(), "damaged_parquet"),
    ("parquet columns", lambda: parquet([{"a": 1, "b": 2}]), FormatOptions(), "unknown_columns"),
    ("no prompt", b'{"q1": 1, "chosen": "b", "rejected": "c"}', FormatOptions(), "unknown_columns"),
    ("csv columns", b"alpha,beta\n1,2\n", FormatOptions(), "unknown_columns"),
    ("same names", b"prompt,prompt\n1,2\n", FormatOptions(), "duplicate_column"),
    ("open quote", lambda: OPEN_QUOTE + b"b\n" * 3 * 10**6, FormatOptions(), "unclosed_quote"),
    ("mapping", b"a,b\n1,2\n", FormatOptions(columns={"prompt": "x"}), "missing_column"),
    ("brackets", b'[{"prompt": "a"}]}', FormatOptions(), "unmatched_brackets"),
    ("open array", b'[{"prompt": "a", "completion": ["b"}', FormatOptions(), "unmatched_brackets"),
    ("long element", b'[{"a": "' + b"x" * 5_000_000 + b'"}]', FormatOptions(), "element_too_long"),
    ("encoding", b"a,b\n", FormatOptions(encoding="klingon"), "unknown_encoding"),
    ("half utf-16", b"\xff\xfe{", FormatOptions(), "wrong_encoding"),
    ("sheet", lambda: workbook([HEADER]), FormatOptions(sheet="x"), "unknown_sheet"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "options", "code"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_unreadable_files_are_refused_with_a_reason(
    tmp_path: Path, data: Data, options: FormatOptions, code: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(made(data))
    with pytest.raises(DatasetError) as caught:
        convert(source, tmp_path / "out", options)
    assert caught.value.issue.code == code
    assert not list(tmp_path.glob(".unpacked-*"))


FULL = Path("/dev/full")


def test_a_full_disk_is_not_taken_for_damage(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bz2.compress(jsonl(RECORDS)))
    with pytest.raises(OSError, match="No space left"):
        unpack(source, FULL, "bzip2", FormatOptions())
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("rows.jsonl", jsonl(RECORDS))
    with pytest.raises(OSError, match="No space left"):
        extract(source, FULL, "zip", FormatOptions(), IssueLog(1))


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    entities = '<!ENTITY a SYSTEM "file:///etc/passwd"><!ENTITY b "&a;&a;">'
    rows = "<faq><q>Why?</q><a>&a; &b;</a></faq>" * 2
    path = tmp_path / "faq.xml"
    path.write_text(f"<?xml version='1.0'?><!DOCTYPE x [{entities}]><faqs>{rows}</faqs>")
    convert(path, tmp_path / "out")
    assert (tmp_path / "out").read_text().count("&a; &b;") == 2


def test_a_workbook_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (64 * 2**20))
    with pytest.raises(DatasetError) as caught:
        convert(source, tmp_path / "out")
    assert caught.value.issue.code == "unpacks_too_far"


_damage = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["cut", "flip", "drop", "double"]), st.integers(0, 255)
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, damage: list[tuple[float, str, int]]) -> bytes:
    for where, how, byte in damage:
        at = int(where * len(data))
        if how == "cut":
            data = data[:at]
        elif how == "flip":
            data = data[:at] + bytes([byte]) + data[at + 1 :]
        elif how == "drop":
            data = data[:at] + data[at + byte :]
        else:
            data = data[:at] + data[max(at - byte, 0) :]
    return data


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=st.sampled_from(CASES), damage=_damage, packer=st.sampled_from(sorted(PACKERS)))
def test_no_damage_crashes_a_parser(
    tmp_path: Path, case: tuple[str, Data, str, str], damage: list[Any], packer: str
) -> None:
    """The file is either refused with a reason or yields canonical rows."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.write_bytes(damaged(PACKERS[packer](made(case[1])), damage))
    try:
        result = convert(source, out)
    except DatasetError:
        return
    assert result.rows == result.validation.valid_rows <= result.validation.rows
    assert canonical_form(out) == out.read_bytes()


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    table_=st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=4),
        max_size=6,
    ),
    data=st.binary(max_size=300),
    is_table=st.booleans(),
)
def test_no_text_crashes_the_reader(
    tmp_path: Path, table_: list[list[str]], data: bytes, is_table: bool
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.write_bytes(table([["prompt", "completion"], *table_], ",") if is_table else data)
    with contextlib.suppress(DatasetError):
        convert(source, out)
