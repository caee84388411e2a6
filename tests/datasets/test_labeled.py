"""Judged answers: how they are read, checked, reported and cleaned."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.datasets.checks.validate import validate_file
from service.datasets.cleaning.clean import clean
from service.datasets.cleaning.options import CleanOptions
from service.datasets.contract import ConvertResult
from service.datasets.formats.convert import convert
from service.datasets.formats.options import FormatOptions
from service.datasets.report.analysis import analyse

USER, GOOD, BAD = (
    {"role": role, "content": text}
    for role, text in (("user", "q"), ("assistant", "good"), ("assistant", "bad"))
)
ROWS = [{"messages": [USER, GOOD], "label": True}, {"messages": [USER, BAD], "label": False}]


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def run(
    folder: Path, data: bytes, options: FormatOptions | None = None
) -> tuple[list[dict[str, Any]], ConvertResult]:
    source, out = folder / "source", folder / "out.jsonl"
    source.write_bytes(data)
    result = convert(source, out, options)
    return [json.loads(line) for line in out.read_text().splitlines()], result


def errors(result: ConvertResult) -> list[tuple[str, int | None, str]]:
    return [(i.code, i.line, i.pointer) for i in result.validation.issues if i.severity == "error"]


def table() -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(
        [["prompt", "completion", "label"], ["q", "good", "True"], ["q", "bad", "false"]]
    )
    return out.getvalue().encode()


def parquet() -> bytes:
    out = io.BytesIO()
    columns = {"prompt": ["q", "q"], "completion": ["good", "bad"], "label": [True, False]}
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        jsonl(ROWS),
        jsonl([{"label": row["label"], "messages": row["messages"]} for row in ROWS]),
        jsonl(
            [
                {"prompt": "q", "completion": "good", "label": True},
                {"prompt": [USER], "completion": [BAD], "label": False},
            ]
        ),
        table(),
        parquet(),
    ],
    ids=["messages", "label-first", "trl", "csv", "parquet"],
)
def test_labeled_shapes(tmp_path: Path, data: bytes) -> None:
    rows, result = run(tmp_path, data)
    assert (result.facts.shape, result.facts.row_format) == ("labeled", "labeled")
    assert result.validation.issues == ()
    assert rows == ROWS


def test_tools_and_a_system_prompt_stay(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    more = {"tools": tools, "system": "Be kind."}
    data = [{"prompt": "q", "completion": "a", "label": label, **more} for label in (True, False)]
    rows, result = run(tmp_path, jsonl(data))
    assert errors(result) == []
    assert rows[0]["tools"] == tools
    assert rows[0]["messages"][0] == {"role": "system", "content": "Be kind."}
    rows, _ = run(tmp_path, jsonl(ROWS), FormatOptions(system="Be brief."))
    assert [row["messages"][0]["content"] for row in rows] == ["Be brief."] * 2


@pytest.mark.parametrize(
    ("row", "code", "pointer"),
    [
        ({"messages": [USER, GOOD], "label": 1}, "wrong_type", "/label"),
        ({"messages": [USER, GOOD], "label": "good"}, "wrong_type", "/label"),
        ({"messages": [USER, GOOD]}, "missing_field", ""),
        ({"messages": [USER], "label": True}, "no_judged_answer", "/messages/0"),
        ({"messages": [USER, GOOD, USER], "label": True}, "no_judged_answer", "/messages/2"),
        (
            {"messages": [USER, {**GOOD, "weight": 0}], "label": True},
            "no_supervised_message",
            "/messages",
        ),
        (
            {"messages": [USER, GOOD], "label": True, "rejected": True},
            "negative_example",
            "/rejected",
        ),
        ([], "not_an_object", ""),
    ],
)
def test_each_fault_of_a_labeled_row_is_found(
    tmp_path: Path, row: Any, code: str, pointer: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl([*ROWS, row]))
    report = validate_file(path, row_format="labeled")
    assert (code, 3, pointer) in [(i.code, i.line, i.pointer) for i in report.issues]
    assert (report.rows, report.valid_rows) == (3, 2)
    if isinstance(row, dict):
        _, result = run(tmp_path, jsonl([*ROWS, row]), FormatOptions(shape="labeled"))
        assert (code, 3, pointer) in errors(result)


@pytest.mark.parametrize("label", [True, False])
def test_a_file_of_one_label_is_refused(tmp_path: Path, label: bool) -> None:
    data = [row | {"label": label} for row in ROWS]
    _, result = run(tmp_path, jsonl(data))
    assert errors(result) == [("one_label", None, "")]
    (issue,) = result.validation.issues
    assert f"label {str(label).lower()}" in issue.message
    table = [{"prompt": "q", "completion": "a", "label": label}] * 2
    assert errors(run(tmp_path, jsonl(table))[1]) == [("one_label", None, "")]


def test_good_answers_alone_can_be_learned_as_chats(tmp_path: Path) -> None:
    _, result = run(tmp_path, jsonl(ROWS[:1] * 2), FormatOptions(shape="chat"))
    assert (result.facts.row_format, errors(result)) == ("chat", [])


@pytest.mark.parametrize("labels", [["cat", "dog"], [1, 0], ["true", "false"], [True, None]])
def test_other_labels_are_no_judgments(tmp_path: Path, labels: list[Any]) -> None:
    data = [row | {"label": label} for row, label in zip(ROWS, labels, strict=True)]
    _, result = run(tmp_path, jsonl(data))
    assert result.facts.row_format == "chat"


def test_labeled_rows_are_reported_and_cleaned(tmp_path: Path) -> None:
    source = tmp_path / "source"
    asked = {"role": "user", "content": "How do I bake bread at home?"}
    earlier = {"role": "assistant", "content": "Which bread do you like best?"}
    answer = {"role": "assistant", "content": "Knead, wait and bake. Ask ann@b.example."}
    rows = [
        {"messages": [asked, earlier, asked, answer], "label": True},
        {"messages": [asked, earlier, asked, answer], "label": False},
        {"messages": [asked, earlier, asked, answer], "label": True},
        {"messages": [asked, earlier, asked, GOOD], "label": True},
    ]
    source.write_bytes(jsonl(rows))
    report = analyse(source, work=tmp_path)
    assert (report.rows, report.exact_duplicates.extra_rows) == (4, 1)
    # Several answers to one question are no contradiction here.
    assert report.contradictions.groups == 0
    result = clean(
        source, tmp_path / "out", CleanOptions(personal_data="mask", near_duplicates=True)
    )
    assert result.source.facts.row_format == "labeled"
    # The same answer with another label is another row.
    assert result.train.rows == 3
    cleaned = [json.loads(line) for line in Path(result.train.path).read_text().splitlines()]
    assert sorted(row["label"] for row in cleaned) == [False, True, True]
    assert "ann@b.example" not in json.dumps(cleaned)
