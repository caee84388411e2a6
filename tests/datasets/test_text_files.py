"""Tests of plain text and Markdown files, which become text rows."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import pytest

from service.datasets.formats.text_records import LONGEST, read_text
from service.datasets.passages import weight
from service.files.records import with_filename_hint
from tests.datasets.test_preview import preview

ROOT = Path(__file__).parents[2]


def pieces(path: Path) -> list[tuple[int, str]]:
    return [(record.line, record.value["text"]) for record in read_text(path)]


def letters(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("page", ["training", "data-sets", "from-documents"])
def test_markdown_is_cut_at_headings_and_nothing_is_lost(page):
    path = ROOT / "docs" / f"{page}.md"
    text, found = path.read_text("utf-8"), pieces(path)
    assert letters("".join(piece for _, piece in found)) == letters(text)
    assert all(weight(piece) <= LONGEST for _, piece in found)
    lines = text.splitlines()
    assert all(piece.startswith(lines[line - 1]) for line, piece in found)
    starts = [piece.startswith("#") for _, piece in found]
    assert sum(starts) * 2 > len(starts)


@pytest.mark.parametrize(
    "text",
    [
        "น้ำขึ้นให้รีบตัก " * 3000,
        "第一句话。" * 3000,
        "Kalimat pertama. Kalimat kedua! " * 1000,
        "word " * 5000,
        "\n".join(["a line of a poem without an end"] * 1000),
    ],
    ids=["thai", "chinese", "indonesian", "words", "lines"],
)
def test_long_paragraphs_are_cut_between_sentences_or_lines(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text(f"\r\n\r\nFirst.\r\n\r\n{text}\r\n\r\nLast.", "utf-8", newline="")
    found = pieces(path)
    assert len(found) >= 4
    assert all(0 < weight(piece) <= LONGEST for _, piece in found)
    assert letters("".join(piece for _, piece in found)) == letters(f"First.{text}Last.")
    assert (found[0][0], found[0][1][:6]) == (3, "First.")


def test_small_paragraphs_stay_together(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One.\n\nTwo,\nand more.\n\n\n# Three\n\nFour.\n")
    assert pieces(path) == [(1, "One.\n\nTwo,\nand more.\n\n# Three\n\nFour.")]


def test_memory_is_bounded(tmp_path):
    path = tmp_path / "a.txt"
    with path.open("w") as file:
        for number in range(40_000):
            file.write(f"Line {number} of a text that has no blank line at all.\n")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_text(path)) > 320
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2**20  # half of the file


PROSE = (
    "Dear reader, this is a letter, and it has commas.\n\nIt has, like all letters, paragraphs.\n"
    "Some, like this one, have lines with as many, though rarely.\n"
)


@pytest.mark.parametrize(
    ("name", "data", "container"),
    [
        ("letter.txt", PROSE, "text"),
        ("LETTER.MD", PROSE, "text"),
        ("links.md", "[a link](https://x.test) begins this page.\n\nMore.\n", "text"),
        ("yaml.txt", "- one\n- two\n- three\n- four\n", "text"),
        ("rows.txt", '{"text": "a"}\n{"text": "b"}\n', "jsonl"),
        ("array.txt", '[ {"text": "a"}, {"text": "b"} ]', "json"),
        ("table.txt", "prompt\tcompletion\n" + "What?\tThat.\n" * 12, "csv"),
        ("table.md", "sep=;\nprompt;completion\na;b\n", "csv"),
    ],
)
def test_a_document_name_matters_only_for_prose(tmp_path, name, data, container):
    found = preview(tmp_path, data.encode(), **(with_filename_hint(None, name) or {})).found
    assert found is not None
    assert found.container == container


def test_other_prose_is_refused_unless_the_format_is_text(tmp_path):
    data = b"Dear all\nplease find attached\n"
    assert with_filename_hint(None, "letter.jsonl") is None
    error = preview(tmp_path, data).error
    assert error is not None
    assert error.code == "unknown_format"
    found = preview(tmp_path, data, container="text")
    assert found.error is None
    assert [(row.line, row.row) for row in found.rows] == [
        (1, {"text": "Dear all\nplease find attached"})
    ]


def test_options_of_tables_prevail_over_the_name():
    given = {"columns": {"prompt": "Kunde"}}
    assert with_filename_hint(given, "a.txt") == given
    assert with_filename_hint({"encoding": "gb18030"}, "a.md.gz") == {
        "encoding": "gb18030",
        "is_document": True,
    }
