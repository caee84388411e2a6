"""Tests of files too large for memory, read by the desk's own process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.support import run_measured

pytestmark = pytest.mark.slow

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
