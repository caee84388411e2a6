"""Tests of the limit on expansion in every format, and of memory for large files."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import CleanOptions
from service.datasets.formats.convert import convert
from service.datasets.formats.options import FormatOptions
from tests.datasets.support import clean, run_measured

pytestmark = pytest.mark.slow

MIB = 1024**2


def in_parquet(text: str, rows: int) -> bytes:
    """Write a file that contains the text once and refers to it in each row."""
    answers = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    out = io.BytesIO()
    pq.write_table(
        pa.table({"prompt": [f"q {i}" for i in range(rows)], "completion": answers}), out
    )
    return out.getvalue()


def in_workbook(text: str, rows: int) -> bytes:
    book, out = openpyxl.Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet()
    sheet.append(["prompt", "completion"])
    for _ in range(rows):
        sheet.append(["q", text])
    book.save(out)
    return out.getvalue()


def lines(text: str, rows: int) -> bytes:
    return (json.dumps({"prompt": "q", "completion": text}) + "\n").encode() * rows


GROWING: dict[str, Callable[[], tuple[bytes, FormatOptions]]] = {
    "parquet": lambda: (in_parquet("a" * 20_000, 1_000), FormatOptions()),
    "parquet with large values": lambda: (in_parquet("a" * 3_000_000, 100), FormatOptions()),
    "xlsx": lambda: (in_workbook("a" * 20_000, 1_000), FormatOptions()),
    "gzip": lambda: (gzip.compress(lines("a" * 20_000, 1_000)), FormatOptions()),
    "zstd": lambda: (zstandard.compress(lines("a" * 20_000, 1_000)), FormatOptions()),
    "csv": lambda: (
        b"prompt,completion\n" + b"a,b\n" * 2_000,
        FormatOptions(system="Be brief. " * 1_000),
    ),
    "json lines": lambda: (
        b'{"prompt":"a","completion":"b"}\n' * 5_000,
        FormatOptions(system="Be brief. " * 1_500),
    ),
}


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING.keys())
@pytest.mark.parametrize(
    "into",
    [convert, lambda source, out, options: clean(source, out, format=options)],
    ids=["convert", "clean"],
)
def test_a_file_that_grows_too_far_is_refused(tmp_path: Path, make, into) -> None:
    data, options = make()
    source, out = tmp_path / "source", tmp_path / "out"
    source.write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        into(source, out, options)
    issue = caught.value.issue
    assert issue.code in ("rows_too_large", "unpacks_too_far")
    assert issue.line is not None or issue.code == "unpacks_too_far"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != source]


def test_the_line_and_the_limit_are_reported(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(in_parquet("a" * MIB, 50))
    with pytest.raises(DatasetError, match=r"line [0-9]+: .* more than [0-9]+ bytes"):
        convert(source, tmp_path / "out")


HONEST: dict[str, Callable[[], bytes]] = {
    # 50 times, as a system prompt does to short rows.
    "csv": lambda: b"prompt,completion\n" + b"a question,an answer\n" * 20_000,
    "gzip": lambda: gzip.compress(b"".join(lines(f"answer {i} " * 20, 1) for i in range(40_000))),
    "parquet": lambda: in_parquet("a" * 1_000, 15_000),
}


@pytest.mark.parametrize("make", HONEST.values(), ids=HONEST.keys())
def test_ordinary_growth_is_accepted(tmp_path: Path, make: Callable[[], bytes]) -> None:
    data, source = make(), tmp_path / "source"
    source.write_bytes(data)
    options = FormatOptions(system="Be brief. " * 80) if data[:6] == b"prompt" else FormatOptions()
    result = convert(source, tmp_path / "out", options)
    assert result.validation.errors == 0
    assert result.bytes > 7 * MIB


def test_the_limit_applies_to_cleaned_texts(tmp_path: Path) -> None:
    """NFKC expands this letter to eighteen."""
    source = tmp_path / "source"
    rows = [{"prompt": f"q{i}", "completion": "\ufdfa" * 700_000} for i in range(2)]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    source.write_bytes(zstandard.compress(data.encode()))
    options = CleanOptions(unicode="NFKC")
    convert(source, tmp_path / "out")
    with pytest.raises(DatasetError) as caught:
        clean(source, tmp_path / "cleaned", options)
    assert caught.value.issue.code == "rows_too_large"


def test_the_operators_limit_applies_to_rows(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(lines("b", 100))
    with pytest.raises(DatasetError) as caught:
        convert(source, tmp_path / "out", FormatOptions(max_unpacked_bytes=5_000))
    assert caught.value.issue.code == "rows_too_large"


ROW = b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n'
MOST_BYTES = 150 * 2**20
# A process that reads one row needs 20 MiB, so this allows 13 bytes for each of two million rows.
MOST_BYTES_TINY_ROWS = 45 * 2**20


def validated(path: Path, folder: Path) -> tuple[dict[str, Any], int]:
    """Validate a file. Returns the report and the peak memory in bytes."""
    return run_measured({"action": "validate", "path": str(path)}, folder)


def test_a_line_of_a_gigabyte_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "line.jsonl"
    with path.open("wb") as file:
        file.write(ROW + b'{"messages": "')
        file.truncate(2**30)  # a hole, read as NUL bytes
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + ROW)
    report, peak = validated(path, tmp_path)
    assert [(i["line"], i["code"]) for i in report["issues"]] == [(2, "line_too_long")]
    assert (report["rows"], report["valid_rows"]) == (3, 2)
    assert peak < MOST_BYTES


def test_two_million_tiny_rows_are_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    block = ROW * 10_000
    with path.open("wb") as file:
        for _ in range(200):
            file.write(block)
    report, peak = validated(path, tmp_path)
    assert (report["rows"], report["valid_rows"]) == (2_000_000, 2_000_000)
    assert peak < MOST_BYTES_TINY_ROWS
    path.unlink()
