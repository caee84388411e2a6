"""Tests of what the command line knows about the rows of a file before its upload."""

from __future__ import annotations

import pytest
from finetuned_cli.sending import most_rows

ROW = '{"prompt": "a", "completion": "b"}\n'


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.jsonl", ROW * 3, 3),
        ("a.JSONL", f"\ufeff{ROW}\r\n\n{ROW}", 2),
        ("a.jsonl", ROW.replace("\n", "\r") * 4, 4),
        ("a.jsonl", ROW * 30, 10),
        ("a.jsonl", '{"data": [1, 2, 3]}', None),
        ("a.jsonl", "[\n" + ROW + "]\n", None),
        ("a.jsonl", '{"data":\n [1, 2]}', None),
        ("a.csv", "prompt,completion\na,b\n\nc,d\n", 3),
        ("a.json", "[]", None),
        ("a.jsonl.gz", ROW, None),
    ],
)
def test_rows_are_counted_where_lines_are_rows(tmp_path, name, content, rows):
    path = tmp_path / name
    path.write_text(content, "utf-8", newline="")
    assert most_rows(path, 10) == rows


def test_other_encodings_are_left_to_the_server(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes((ROW * 2).encode("utf-16"))
    assert most_rows(path, 10) is None
