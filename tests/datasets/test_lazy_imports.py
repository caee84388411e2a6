"""Tests that `python -m service.datasets` imports only the libraries that a file needs.

Most files are small, so the imports are most of the time that a task takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

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


def test_a_task_imports_what_its_file_needs(tmp_path: Path, tokenizers: dict[str, Path]) -> None:
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
