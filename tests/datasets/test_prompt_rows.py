"""Tests of prompts for reinforcement: how they are recognized, checked, reported and cleaned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.datasets.contract.tasks import CleanOptions
from service.datasets.formats.options import FormatOptions
from service.datasets.report.render import to_markdown
from tests.datasets.support import analyze, clean, errors, jsonl, run

USER = {"role": "user", "content": "日本の首都は？"}
ANSWER = {"role": "assistant", "content": "東京です。"}
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]
ROW = {"messages": [USER], "reference_answer": "東京", "points": {"max": 3}}
CANONICAL = {"messages": [USER], "item": {"reference_answer": "東京", "points": {"max": 3}}}
PROMPTS = FormatOptions(shape="reinforcement")


@pytest.mark.parametrize(
    "rows",
    [[ROW], [CANONICAL], [{**ROW, "messages": [{"from": "human", "value": USER["content"]}]}]],
    ids=["openai", "canonical", "other-names"],
)
def test_prompts_are_recognized(tmp_path: Path, rows: list[Any]) -> None:
    found, result = run(tmp_path, jsonl(rows))
    assert found == [CANONICAL]
    assert (result.facts.shape, result.facts.row_format) == ("reinforcement", "reinforcement")
    assert result.facts.unused_columns == []
    assert (result.validation.valid_rows, errors(result)) == (1, [])


def test_a_table_of_prompts(tmp_path: Path) -> None:
    data = b'prompt,answer\nHow many?,"7, or so"\n'
    assert run(tmp_path, data)[1].facts.row_format == "chat"
    (row,), _ = run(tmp_path, data, PROMPTS)
    assert row == {
        "messages": [{"role": "user", "content": "How many?"}],
        "item": {"answer": "7, or so"},
    }


def test_a_tool_result_may_await_the_answer(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    talk = [USER, {"role": "assistant", "tool_calls": [call]}]
    talk.append({"role": "tool", "tool_call_id": "c1", "content": "Tokyo"})
    rows = [ROW, {"messages": talk, "tools": TOOLS, "reference_answer": "東京"}]
    found, result = run(tmp_path, jsonl(rows))
    assert errors(result) == []
    assert found[1] == {"messages": talk, "tools": TOOLS, "item": {"reference_answer": "東京"}}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER]},
        {"messages": [USER], "id": 7, "source": "web"},
        {"messages": [USER, ANSWER, USER], "reference_answer": "東京"},
        {"messages": [USER, ANSWER], "reference_answer": "東京"},
    ],
    ids=["alone", "described", "chat-that-the-user-ended", "answered"],
)
def test_other_conversations_are_still_read_as_chats(tmp_path: Path, row: dict[str, Any]) -> None:
    """A chat without any answer remains an error, whose remedy names the format option."""
    _, result = run(tmp_path, jsonl([row] * 2))
    assert result.facts.row_format == "chat"
    for issue in result.validation.issues:
        if issue.code in ("no_assistant_message", "ends_without_assistant"):
            assert "set the format's shape to reinforcement" in issue.fix


def test_the_shape_can_be_set(tmp_path: Path) -> None:
    rows = [{"messages": [USER, ANSWER, USER], "id": 7}, {"messages": [USER]}]
    found, result = run(tmp_path, jsonl(rows), PROMPTS)
    assert [row["item"] for row in found] == [{"id": 7}, {}]
    assert errors(result) == []


def test_each_fault_of_a_prompt_is_found(tmp_path: Path) -> None:
    bad = [{**ROW, "messages": [USER, ANSWER]}, {**ROW, "messages": []}, {"points": 1}, [1]]
    system = {"role": "system", "content": "Be brief."}
    data = jsonl([ROW, *bad, {**ROW, "messages": [system]}])
    _, result = run(tmp_path, data, PROMPTS)
    assert errors(result) == [
        ("nothing_to_answer", 2, "/messages/1"),
        ("empty_messages", 3, "/messages"),
        ("missing_field", 4, ""),
        ("not_an_object", 5, ""),
        ("nothing_to_answer", 6, "/messages/0"),
    ]
    assert result.validation.valid_rows == 1


def test_prompts_are_reported_and_cleaned(tmp_path: Path) -> None:
    """Copies go, unless the grader knows something else; personal data in items is masked."""
    rows = [
        {
            "messages": [{"role": "user", "content": f"What is {n} times {'very ' * n}much?"}],
            "ref": n,
        }
        for n in range(20)
    ]
    weighted = {"role": "assistant", "content": "Hm.", "weight": 1}
    rows += [rows[0], {**rows[1], "ref": "another"}]
    rows += [{"messages": [USER, weighted, USER], "ref": ["ada.lovelace@example.org"]}]
    _, result = run(tmp_path, jsonl(rows))
    assert result.validation.valid_rows == 23
    source = tmp_path / "source"
    report = analyze(source, work=tmp_path)
    assert report.source.row_format == "reinforcement"
    assert report.exact_duplicates.extra_rows == 1
    assert report.contradictions.groups == 0
    assert [found.kind for found in report.personal_data] == ["email"]
    assert report.personal_data[0].places[0][1] == "/item"
    assert "ada.lovelace" not in to_markdown(report)
    assert {advice.code for advice in report.advice} <= {"too_few_rows", "personal_data"}

    found = clean(source, tmp_path / "cleaned", CleanOptions(personal_data="mask"))
    assert found.source.facts.row_format == "reinforcement"
    cleaned = Path(found.train.path).read_text()
    assert "ada.lovelace" not in cleaned
    items = [json.loads(line)["item"]["ref"] for line in cleaned.splitlines()]
    assert items.count(0) == 1
    assert {1, "another"} <= {item for item in items if not isinstance(item, list)}
