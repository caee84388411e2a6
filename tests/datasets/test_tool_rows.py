"""Tests of rows that call tools, in reports and measurements for models without tool support."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.datasets.report.statistics import measure
from tests.datasets.support import analyze
from tests.datasets.test_chat_templates import PLAIN, STRICT, folder_of

CALL: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at": "sea"}'}}
    ],
}
ASKED: dict[str, Any] = {"role": "user", "content": "What do you see?"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
PLAIN_ROW = {"messages": [ASKED, {"role": "assistant", "content": "Waves."}]}
TOOL_ROW = {
    "messages": [
        ASKED,
        CALL,
        {"role": "tool", "tool_call_id": "a", "content": "waves"},
        {"role": "assistant", "content": "Waves."},
    ],
    "tools": TOOLS,
}
PREFERENCE = {
    "input": {"messages": [ASKED], "tools": TOOLS},
    "preferred_output": [CALL],
    "non_preferred_output": [{"role": "assistant", "content": "Nothing."}],
}


@pytest.fixture
def models(tmp_path: Path, tokenizers: dict[str, Path]) -> dict[str, Path]:
    """Folders of two models with a tokenizer.json each."""
    made = {}
    for name, template in (("plain", PLAIN), ("with-tools", STRICT)):
        folder = folder_of(tmp_path / name, template)
        made[name] = folder / "tokenizer.json"
        shutil.copy(tokenizers["english"], made[name])
    return made


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_report_names_models_that_cannot_learn_tool_rows(tmp_path: Path, models) -> None:
    data = write(tmp_path / "data.jsonl", [PLAIN_ROW, TOOL_ROW, *[PLAIN_ROW] * 3, TOOL_ROW])
    report = analyze(data, tokenizers=models, work=tmp_path)
    (finding,) = [f for f in report.findings if f.code == "tools_not_supported"]
    assert (finding.severity, finding.line) == ("error", 2)
    assert "chat template of plain does not render tool calls" in finding.message
    assert "2 row(s)" in finding.message
    advice = report.advice[0]
    assert (advice.code, advice.lines) == ("tools_not_supported", [2, 6])
    assert "with-tools" not in advice.text


def test_a_report_of_rows_without_tools_does_not_mention_them(tmp_path: Path, models) -> None:
    report = analyze(
        write(tmp_path / "data.jsonl", [PLAIN_ROW] * 3), tokenizers=models, work=tmp_path
    )
    assert "tools_not_supported" not in report.finding_counts
    assert all(advice.code != "tools_not_supported" for advice in report.advice)


@pytest.mark.parametrize(
    ("rows", "count"), [([TOOL_ROW, PLAIN_ROW], 1), ([PREFERENCE] * 2, 2), ([PLAIN_ROW], 0)]
)
def test_a_measurement_counts_tool_rows_and_checks_the_template(
    tmp_path, models, rows, count
) -> None:
    data = write(tmp_path / "rows.jsonl", rows)
    plain = measure(data, models["plain"], rows=len(rows))
    assert (plain.tool_rows, plain.takes_tools) == (count, False)
    assert measure(data, models["with-tools"], rows=len(rows)).takes_tools is True
