"""Tests of texts as rows: how they are recognized, checked, reported and cleaned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import CleanOptions
from service.datasets.formats.options import FormatOptions
from service.datasets.report.render import to_markdown
from tests.datasets.support import analyze, clean, jsonl, run

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


def test_texts_are_reported_and_cleaned(tmp_path: Path) -> None:
    """Copies go and personal data is masked; texts without questions contradict no other."""
    texts = [f"Ship {n} carries {'very ' * n}old books about port {n * 7}." for n in range(20)]
    texts += [texts[0], "Write to ada.lovelace@example.org about the ship."]
    rows, result = run(tmp_path, jsonl([{"text": text} for text in texts]))
    assert result.validation.valid_rows == len(rows) == 22
    source = tmp_path / "source"
    report = analyze(source, work=tmp_path)
    assert report.source.row_format == "text"
    assert report.exact_duplicates.extra_rows == 1
    assert report.contradictions.groups == 0
    assert [found.kind for found in report.personal_data] == ["email"]
    assert report.personal_data[0].places[0][1] == "/text"
    assert "ada.lovelace" not in to_markdown(report)
    assert {advice.code for advice in report.advice} <= {"too_few_rows", "personal_data"}

    found = clean(source, tmp_path / "cleaned", CleanOptions(personal_data="mask"))
    assert found.source.facts.row_format == "text"
    assert found.train.rows == 21
    cleaned = Path(found.train.path).read_text().splitlines()
    assert all(json.loads(line).keys() == {"text"} for line in cleaned)
    assert "ada.lovelace" not in "".join(cleaned)
