"""Tests of the process that a worker starts: spec, progress, result, limits and imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.datasets.support import chat, jsonl

pytestmark = pytest.mark.slow

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"問い{n} {chr(0x4E00 + n * 7) * 5}？"},
            {"role": "assistant", "content": f"答え{n} {chr(0x5E00 + n * 5) * 9}。"},
        ]
    }
    for n in range(40)
]


def run(folder: Path, **spec: Any) -> tuple[int, list[dict[str, Any]], Any]:
    """Run the process. Returns the exit code, the lines of stdout and the result."""
    spec = {"path": str(folder / "data"), "result": str(folder / "result.json")} | spec
    (folder / "spec.json").write_text(json.dumps(spec))
    done = subprocess.run(
        [sys.executable, "-m", "service.datasets", str(folder / "spec.json")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    result = folder / "result.json"
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, lines, json.loads(result.read_text()) if result.exists() else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = "".join(json.dumps(row) + "\n" for row in [*ROWS, {"messages": []}])
    (tmp_path / "data").write_text(data)
    return tmp_path


def test_validate(folder: Path) -> None:
    code, lines, result = run(folder, action="validate", processes=2)
    assert (code, lines) == (0, [{"type": "succeeded"}])
    assert (result["rows"], result["valid_rows"]) == (41, 40)
    assert result["issues"][0]["line"] == 41


def test_report_on_many_short_rows(folder: Path) -> None:
    """A library that signs many texts in threads must not do so before the process forks."""
    pairs = ((f"question {n}", f"answer {n * 7919 % 100_003}") for n in range(12_000))
    (folder / "data").write_bytes(jsonl([chat(*pair) for pair in pairs]))
    code, _, result = run(folder, action="report", processes=2)
    assert (code, result["rows"]) == (0, 12_000)


def test_report_and_its_readable_forms(folder: Path, tokenizers: dict[str, Path]) -> None:
    code, lines, result = run(
        folder,
        action="report",
        tokenizers={name: str(path) for name, path in tokenizers.items()},
        context_lengths=[64],
        html=str(folder / "report.html"),
        markdown=str(folder / "report.md"),
        processes=2,
    )
    assert code == 0
    assert [line["type"] for line in lines] == ["progress", "succeeded"]
    assert lines[0]["done"] == lines[0]["total"] > 0
    assert result["rows"] == 40
    assert {t["model"] for t in result["tokens"]} == {"english", "asian"}
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert (folder / "report.md").read_text().startswith("# ")
    assert not [p for p in folder.iterdir() if p.name.startswith((".", "report-"))]


def test_clean_and_convert(folder: Path) -> None:
    code, _, result = run(
        folder,
        action="clean",
        out=str(folder / "out"),
        options={"validation_share": 0.25, "personal_data": "mask"},
    )
    assert code == 0
    assert result["train"]["rows"] + result["validation"]["rows"] == 40
    assert result["dropped"] == {"broken": 1}
    (folder / "data").write_text("q,a\n1,2\n")
    columns = {"prompt": "q", "completion": "a"}
    code, _, result = run(
        folder, action="convert", out=str(folder / "o"), format={"columns": columns}
    )
    assert (code, result["rows"]) == (0, 1)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"action": "report", "path": "/absent"}, "file_error"),
        ({"action": "dance"}, "invalid_spec"),
        ({"action": "clean"}, "invalid_spec"),
        ({"action": "clean", "out": "x", "options": {"seed": "one"}}, "invalid_spec"),
        ({"action": "report", "surprise": 1}, "invalid_spec"),
        ({"action": "report", "format": {"columns": {"prompt": "x"}}}, "missing_column"),
    ],
)
def test_failures_have_a_message_and_a_fix(
    folder: Path, spec: dict[str, Any], expected: str
) -> None:
    code, lines, result = run(folder, **spec)
    assert (code, result) == (1, None)
    (line,) = lines
    assert (line["type"], line["code"]) == ("failed", expected)
    assert line["message"]
    assert line["fix"]


def test_the_memory_limit_is_enforced_and_reported(folder: Path) -> None:
    # What a report of any English text loads does not fit, so the file can be small.
    rows = [{"prompt": f"{number} " + "x" * 300, "completion": "y" * 300} for number in range(100)]
    (folder / "data").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, lines, _ = run(folder, action="report", memory_bytes=250 * 2**20)
    assert code == 1
    assert lines[-1]["code"] == "out_of_memory"


def test_workers_end_with_their_process(folder: Path) -> None:
    with (folder / "data").open("w") as out:
        for _ in range(2_000):
            out.write("".join(json.dumps(row) + "\n" for row in ROWS))
    spec = {
        "action": "report",
        "path": str(folder / "data"),
        "result": str(folder / "result.json"),
        "processes": 2,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    process = subprocess.Popen(
        [sys.executable, "-m", "service.datasets", str(folder / "spec.json")],
        stdout=subprocess.DEVNULL,
    )
    children = _wait_for_children(process.pid)
    os.kill(process.pid, 9)
    process.wait(timeout=60)
    assert len(children) == 2
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert not (folder / "result.json").exists()


def _wait_for_children(pid: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = psutil.Process(pid).children()
        if len(children) == 2:
            return children
        time.sleep(0.02)
    return []


# Each task runs in the same process, the cheapest first, and prints what is imported after it.
_PROGRAM = """
import json, sys
from service.datasets.__main__ import main

for spec in sys.argv[1:]:
    code = main([spec])
    print(json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""
# Chat templates are rendered in a process of their own.
_NEVER = {"aiohttp", "arq", "fastapi", "httpx", "httpx2", "jinja2", "pydantic", "redis", "torch"}
_FOR_SOME_FILES = {"multiprocessing", "openpyxl", "pyarrow"}
_FOR_SOME_TEXTS = {"ftfy", "fugashi", "jsonschema_rs", "phonenumbers", "ssl", "stdnum"}
_OF_REPORTS = {"py3langid", "rapidfuzz", "re2", "service.datasets.personal_data.detect"}
_OF_MEASURES = {"numpy", "tokenizers"}
_OF_TEMPLATES = {"jinja2"}  # of reports


def _row(number: int) -> dict[str, object]:
    question = f"How does tap {number} work?"
    answer = "Turn it to the left until water comes."
    turns = (("user", question), ("assistant", answer))
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def test_a_task_imports_only_what_its_file_needs(
    tmp_path: Path, tokenizers: dict[str, Path]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(_row(number)) + "\n" for number in range(10)))
    table = tmp_path / "table.csv"
    table.write_text("prompt,completion\nq,a\n")
    out = str(tmp_path / "out")
    tasks: dict[str, dict[str, object]] = {
        "validate": {"action": "validate", "path": str(rows)},
        "convert": {"action": "convert", "path": str(rows), "out": out},
        "table": {"action": "convert", "path": str(table), "out": out},
        "preview": {"action": "preview", "path": str(table)},
        "measure": {
            "action": "measure",
            "path": str(rows),
            "rows": 10,
            "tokenizer": str(tokenizers["english"]),
        },
        "clean": {"action": "clean", "path": str(rows), "out": str(tmp_path / "cleaned")},
        "report": {"action": "report", "path": str(rows)},
        "mask": {
            "action": "clean",
            "path": str(rows),
            "out": str(tmp_path / "masked"),
            "options": {"personal_data": "mask"},
        },
    }
    imported = _imported_after(tmp_path, tasks)

    lazy = _NEVER | _FOR_SOME_FILES | _FOR_SOME_TEXTS
    for task in ("validate", "convert", "table", "preview"):
        assert not imported[task] & (lazy | _OF_REPORTS | _OF_MEASURES), task
    assert not imported["measure"] & (lazy | _OF_REPORTS)
    assert imported["measure"] >= _OF_MEASURES
    assert not imported["clean"] & (lazy | {"py3langid"})
    for task in ("report", "mask"):
        assert not imported[task] & (lazy - _OF_TEMPLATES), task
        assert imported[task] >= _OF_REPORTS


def _imported_after(folder: Path, tasks: dict[str, dict[str, object]]) -> dict[str, set[str]]:
    """Run the tasks one after another, and return the modules imported after each."""
    specs = []
    for name, task in tasks.items():
        spec = {**task, "result": str(folder / f"{name}.json"), "processes": 2}
        specs.append(folder / f"{name}.spec.json")
        specs[-1].write_text(json.dumps(spec))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, specs)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    ends = [line for line in lines if "modules" in line]
    assert [end["code"] for end in ends] == [0] * len(tasks)
    return {name: set(end["modules"]) for name, end in zip(tasks, ends, strict=True)}
