"""Tests of evaluation item files: each line has an object `item`, and errors have their line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.datasets.checks.validate import check_eval_items, eval_lines, parse_eval_item
from service.datasets.limits import MAX_EVAL_ITEM_BYTES, MAX_EVAL_ITEMS

GOOD = {"item": {"question": "ร้านเปิดกี่โมง", "n": [1, {"a": None}]}, "sample": {"output_text": "9"}}


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "items.jsonl"
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines))
    return path


def test_good_items(tmp_path: Path) -> None:
    report = check_eval_items(write(tmp_path, GOOD, b" ", {"item": {}, "sample": None}, b""))
    assert (report.ok, report.rows, report.valid_rows, report.format) == (True, 2, 2, "evals")
    assert [(issue.code, issue.line) for issue in report.issues] == [("blank_line", 2)]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (b"{", "invalid_json"),
        (b'{"item": "\xff"}', "invalid_utf8"),
        ([], "not_an_object"),
        ({"question": "?"}, "no_eval_item"),
        ({"item": "a"}, "no_eval_item"),
        ({"item": {}, "sample": "a"}, "eval_sample_not_an_object"),
        ({"item": {"a": "x" * MAX_EVAL_ITEM_BYTES}}, "eval_item_too_long"),
        (b'{"item": ' + b'{"a": ' * 70 + b"1" + b"}" * 71, "nesting_too_deep"),
    ],
)
def test_a_fault_has_its_line_and_hides_the_text(tmp_path: Path, row: Any, code: str) -> None:
    report = check_eval_items(write(tmp_path, GOOD, row, GOOD))
    assert [(issue.code, issue.line) for issue in report.issues] == [(code, 2)]
    assert (report.ok, report.rows, report.valid_rows) == (False, 3, 2)


@pytest.mark.parametrize(("data", "code"), [(b"", "empty_eval_file"), (b"[{}]", "not_jsonl")])
def test_a_file_without_items_is_an_error(tmp_path: Path, data: bytes, code: str) -> None:
    report = check_eval_items(write(tmp_path, data))
    assert code in report.counts
    assert not report.ok


def test_too_many_items(tmp_path: Path) -> None:
    line = b'{"item": {}}'
    assert check_eval_items(write(tmp_path, *[line] * MAX_EVAL_ITEMS)).ok
    report = check_eval_items(write(tmp_path, *[line] * (MAX_EVAL_ITEMS + 9)))
    assert report.counts == {"too_many_eval_items": 1}


def test_lines_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    long = {"item": {"a": "x" * MAX_EVAL_ITEM_BYTES}}
    path = write(tmp_path, b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), long, GOOD)
    found = [(number, parse_eval_item(line)) for number, line in eval_lines(path)]
    assert [number for number, _ in found] == [1, 2, 3]
    assert [row for _, (row, _) in found] == [GOOD, {}, GOOD]
