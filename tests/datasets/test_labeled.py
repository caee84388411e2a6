"""Tests of labeled answers: reading, checks, reports and cleaning."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.datasets.checks.validate import validate_file
from service.datasets.contract.tasks import CleanOptions, ContradictionRule
from service.datasets.formats.options import FormatOptions
from service.datasets.report.render import to_markdown
from tests.datasets.support import analyze, clean, errors, jsonl, run

USER, GOOD, BAD = (
    {"role": role, "content": text}
    for role, text in (("user", "q"), ("assistant", "good"), ("assistant", "bad"))
)
ROWS = [{"messages": [USER, GOOD], "label": True}, {"messages": [USER, BAD], "label": False}]


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
        parquet,  # not called: pyarrow imports pandas, which takes 0.4 s to collect the tests
    ],
    ids=["messages", "label-first", "trl", "csv", "parquet"],
)
def test_labeled_shapes(tmp_path: Path, data: bytes | Callable[[], bytes]) -> None:
    rows, result = run(tmp_path, data if isinstance(data, bytes) else data())
    assert (result.facts.shape, result.facts.row_format) == ("labeled", "labeled")
    assert result.validation.issues == ()
    assert rows == ROWS


def test_tools_and_a_system_prompt_are_kept(tmp_path: Path) -> None:
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


def test_rows_with_one_label_can_be_read_as_chats(tmp_path: Path) -> None:
    _, result = run(tmp_path, jsonl(ROWS[:1] * 2), FormatOptions(shape="chat"))
    assert (result.facts.row_format, errors(result)) == ("chat", [])


@pytest.mark.parametrize("labels", [["cat", "dog"], [1, 0], ["true", "false"], [True, None]])
def test_labels_that_are_not_booleans_are_ignored(tmp_path: Path, labels: list[Any]) -> None:
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
    report = analyze(source, work=tmp_path)
    assert (report.rows, report.exact_duplicates.extra_rows) == (4, 1)
    result = clean(
        source, tmp_path / "out", CleanOptions(personal_data="mask", near_duplicates=True)
    )
    assert result.source.facts.row_format == "labeled"
    # The same answer with another label is another row.
    assert result.train.rows == 3
    cleaned = [json.loads(line) for line in Path(result.train.path).read_text().splitlines()]
    assert sorted(row["label"] for row in cleaned) == [False, True, True]
    assert "ann@b.example" not in json.dumps(cleaned)


def judged(answer: str, *labels: bool, question: str = "q") -> list[dict[str, Any]]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [{"messages": messages, "label": label} for label in labels]


VERDICTS = [
    *judged("good", True),  # 1
    *judged("bad", False),  # 2: another answer to the question, no contradiction
    *judged("so so", True, False, False),  # 3 to 5
    *judged("So  so", False),  # 6: the same except for case and spacing
    *judged("so so", False, question="r"),  # 7: the same answer to another question
]


def test_an_answer_with_both_labels_is_a_contradiction(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(jsonl(VERDICTS))
    report = analyze(source, work=tmp_path)
    assert report.contradictions.examples == [[3, 4, 5, 6]]
    told = [i for i in report.findings if i.code == "label_contradiction"]
    assert [issue.line for issue in told] == [4, 5, 6]
    assert "line 3 but the other label" in told[0].message
    (advice,) = (a for a in report.advice if a.code == "contradictions")
    assert advice.title == "1 answer is labeled both good and bad"
    assert advice.lines == [3, 4, 5, 6]
    assert "same answer, both labels" in to_markdown(report, title="t")
    source.write_bytes(jsonl(VERDICTS[:3] + VERDICTS[6:]))
    assert analyze(source, work=tmp_path).contradictions.groups == 0


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("keep", [1, 2, 3, 4, 6, 7]),
        ("first", [1, 2, 3, 7]),
        ("last", [1, 2, 4, 6, 7]),
        ("longest", [1, 2, 4, 6, 7]),
        ("most_common", [1, 2, 4, 6, 7]),
        ("drop", [1, 2, 7]),
    ],
)
def test_one_label_of_an_answer_is_kept(
    tmp_path: Path, rule: ContradictionRule, kept: list[int]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(jsonl(VERDICTS))
    result = clean(source, tmp_path / "out", CleanOptions(contradictions=rule))
    rows = [json.loads(line) for line in Path(result.train.path).read_text().splitlines()]
    assert rows == [VERDICTS[line - 1] for line in kept]


def test_labels_are_not_mistaken_for_few_answers(tmp_path: Path) -> None:
    source = tmp_path / "source"
    texts = [hashlib.sha256(bytes([number])).hexdigest() for number in range(60)]
    rows = [
        row
        for number, text in enumerate(texts)
        for row in judged(text, number % 2 == 0, question=text[::-1])
    ]
    source.write_bytes(jsonl(rows))
    codes = {advice.code for advice in analyze(source, work=tmp_path).advice}
    assert "few_answers" not in codes
