"""Tests of files too large for memory, read by the desk's own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROW = b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n'
MOST_BYTES = 150 * 2**20
# A process that reads one row needs 20 MiB, so this allows 13 bytes for each of two million rows.
MOST_BYTES_TINY_ROWS = 45 * 2**20

# Runs a spec and then prints its own peak resident set and that of its children. Its
# own comes from VmHWM, because ru_maxrss starts at the size of the parent, here pytest.
MEASURED = """
import pathlib, re, resource, sys
from service.datasets.__main__ import main

code = main(sys.argv[1:])
status = pathlib.Path("/proc/self/status").read_text()
own = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
print(1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def validated(path: Path, folder: Path) -> tuple[dict[str, Any], int]:
    """Validate a file with two processes. Returns the report and the peak memory in bytes."""
    spec, result = folder / "spec.json", folder / "result.json"
    spec.write_text(
        json.dumps({"action": "validate", "path": str(path), "result": str(result), "processes": 2})
    )
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(spec)], capture_output=True, check=True
    )
    return json.loads(result.read_bytes()), int(done.stdout.split()[-1])


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
