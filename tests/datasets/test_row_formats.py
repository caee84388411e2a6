"""Tests of text rows and of prompts for reinforcement: detection, checks, reports and cleaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import CleanOptions
from service.datasets.formats.options import FormatOptions
from service.datasets.report.render import to_markdown
from tests.datasets.support import analyze, clean, errors, jsonl, run

TEXTS = ["The ship sails at noon.", "午後に船が出ます。"]


@pytest.mark.parametrize(
    "data",
    [
        jsonl([{"text": text} for text in TEXTS]),
        jsonl([{"text": text, "url": "u", "meta": {"a": 1}} for text in TEXTS]),
        ("text,title\n" + "".join(f"{text},t\n" for text in TEXTS)).encode(),
    ],
    ids=["jsonl", "described", "csv"],
)
def test_text_shapes(tmp_path: Path, data: bytes) -> None:
    rows, result = run(tmp_path, data)
    assert rows == [{"text": text} for text in TEXTS]
    assert (result.facts.shape, result.facts.row_format) == ("text", "text")
    assert result.validation.valid_rows == 2


def test_a_text_with_a_label_is_taken_for_a_text_only_if_asked(tmp_path: Path) -> None:
    data = jsonl([{"text": text, "label": n} for n, text in enumerate(TEXTS)])
    with pytest.raises(DatasetError, match="text, label"):
        run(tmp_path, data)
    rows, _ = run(tmp_path, data, FormatOptions(shape="text"))
    assert rows == [{"text": text} for text in TEXTS]


def test_a_conversation_in_a_text_is_taken_for_a_text_only_if_asked(tmp_path: Path) -> None:
    data = jsonl([{"text": "\n\nHuman: When?\n\nAssistant: At noon."}] * 2)
    assert run(tmp_path, data)[1].facts.row_format == "chat"
    assert run(tmp_path, data, FormatOptions(shape="text"))[1].facts.row_format == "text"


def test_each_fault_of_a_text_row_is_found(tmp_path: Path) -> None:
    bad = [{"text": " \n"}, {"text": None}, {"text": ["a"]}, "text"]
    _, result = run(tmp_path, jsonl([{"text": "good"}, *bad]), FormatOptions(shape="text"))
    lines = {issue.line for issue in result.validation.issues if issue.severity == "error"}
    assert lines == {2, 3, 4, 5}
    assert result.validation.valid_rows == 1


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


def _texts() -> list[dict[str, Any]]:
    texts = [f"Ship {n} carries {'very ' * n}old books about port {n * 7}." for n in range(20)]
    return [{"text": text} for text in [*texts, texts[0], "Write to ada.lovelace@example.org."]]


def _prompts() -> list[dict[str, Any]]:
    """Row 21 repeats row 1. Row 22 repeats the prompt of row 2 with another item."""
    asked = [f"What is {n} times {'very ' * n}much?" for n in range(20)]
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": prompt}], "ref": n}
        for n, prompt in enumerate(asked)
    ]
    weighted = {"role": "assistant", "content": "Hm.", "weight": 1}
    last = {"messages": [USER, weighted, USER], "ref": ["ada.lovelace@example.org"]}
    return [*rows, rows[0], {**rows[1], "ref": "another"}, last]


@pytest.mark.parametrize(
    ("rows", "row_format", "place"),
    [(_texts(), "text", "/text"), (_prompts(), "reinforcement", "/item")],
    ids=["texts", "prompts"],
)
def test_rows_are_reported_and_cleaned(
    tmp_path: Path, rows: list[dict[str, Any]], row_format: str, place: str
) -> None:
    """Duplicates are dropped and personal data is masked. Without questions, no rows conflict."""
    _, result = run(tmp_path, jsonl(rows))
    assert result.validation.valid_rows == len(rows)
    source = tmp_path / "source"
    report = analyze(source, work=tmp_path)
    assert report.source.row_format == row_format
    assert report.exact_duplicates.extra_rows == 1
    assert report.contradictions.groups == 0
    (found,) = report.personal_data
    assert (found.kind, found.places[0][1]) == ("email", place)
    assert "ada.lovelace" not in to_markdown(report)
    assert {advice.code for advice in report.advice} <= {"too_few_rows", "personal_data"}

    cleaned = clean(source, tmp_path / "cleaned", CleanOptions(personal_data="mask"))
    assert cleaned.source.facts.row_format == row_format
    assert cleaned.train.rows == len(rows) - 1
    assert "ada.lovelace" not in Path(cleaned.train.path).read_text()
    if row_format == "reinforcement":
        lines = Path(cleaned.train.path).read_text().splitlines()
        items = [json.loads(line)["item"]["ref"] for line in lines]
        assert items.count(0) == 1
        assert {1, "another"} <= {item for item in items if not isinstance(item, list)}
