"""Rows and conversions for tests, and the peak memory of a task in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from service.datasets.cleaning import clean as cleaning
from service.datasets.contract.report import Report
from service.datasets.contract.tasks import (
    CleanOptions,
    CleanResult,
    CleanSpec,
    ConvertResult,
    ReportSpec,
)
from service.datasets.formats.convert import convert
from service.datasets.formats.options import FormatOptions, RowFormat
from service.datasets.report import analysis
from service.datasets.report.analysis import Render
from service.datasets.rows.canonical import canonical_block

# Runs a spec and then prints its own peak resident set and that of its children. Its
# own comes from VmHWM, because ru_maxrss starts at the size of the parent, here pytest.
_PROGRAM = """
import pathlib, re, resource, sys
from service.datasets.__main__ import main

code = main(sys.argv[1:])
status = pathlib.Path("/proc/self/status").read_text()
own = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
print(1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def run_measured(spec: dict[str, Any], folder: Path) -> tuple[dict[str, Any], int]:
    """Run a task with two processes. Returns its answer and the peak memory in bytes."""
    given, result = folder / "spec.json", folder / "result.json"
    given.write_text(json.dumps({"result": str(result), "processes": 2, **spec}))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(given)], capture_output=True, check=True
    )
    return json.loads(result.read_bytes()), int(done.stdout.split()[-1])


def canonical_form(path: Path, row_format: RowFormat = "chat") -> bytes:
    """Return the canonical rows of a JSON Lines file."""
    return b"".join(canonical_block(path, row_format, (0, path.stat().st_size)).rows)


def chat(prompt: str, answer: str, system: str = "") -> dict[str, Any]:
    """Return a chat row with one question and one answer."""
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    head = [{"role": "system", "content": system}] if system else []
    return {"messages": [*head, *messages]}


def jsonl(rows: list[Any]) -> bytes:
    """Return rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def run(
    folder: Path, data: bytes, options: FormatOptions | None = None
) -> tuple[list[dict[str, Any]], ConvertResult]:
    """Convert a file. Returns its canonical rows and the result."""
    source, out = folder / "source", folder / "out.jsonl"
    source.write_bytes(data)
    result = convert(source, out, options)
    return [json.loads(line) for line in out.read_text().splitlines()], result


def errors(result: ConvertResult) -> list[tuple[str, int | None, str]]:
    """Return the code, line and JSON Pointer of each error."""
    return [(i.code, i.line, i.pointer) for i in result.validation.issues if i.severity == "error"]


def analyze(
    path: Path | str, *, work: Path, render: Render | None = None, **options: Any
) -> Report:
    """Return the report on a file."""
    spec = ReportSpec(path=Path(path), result=work / "report.json", **options)
    return analysis.analyze(spec, render=render)


def clean(path: Path, out: Path, options: CleanOptions | None = None, **more: Any) -> CleanResult:
    """Clean a file into the folder `out`."""
    chosen, result = options or CleanOptions(), out.with_name("result.json")
    return cleaning.clean(CleanSpec(path=path, out=out, result=result, options=chosen, **more))
