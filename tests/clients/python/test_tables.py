"""Tests of tables on a terminal."""

from __future__ import annotations

import pytest
from finetuned_cli.tables import Column, lay_out, lines, wrapped
from rich.cells import cell_len

MODEL = "ft:smollm2-135m-instruct:default:bookshop:im3zw4kpfohr"
JOB = "ftjob-abcdefghijklmnopqrstuvwx"
COLUMNS = [
    Column("id"),
    Column("name", 2, cut="end"),
    Column("created", 3),
    Column("result", 1),
]
ROWS = [
    [JOB, "Fragen an den Buchladen am Leuchtturm.jsonl", "2026-11-02 09:15", MODEL],
    [JOB, "書店への質問\n集.jsonl", "2026-11-02 09:15", ""],
]


def drawn(width: int | None) -> tuple[list[str], list[str]]:
    layout = lay_out(COLUMNS, ROWS, width)
    return [line.plain for line in lines(COLUMNS, ROWS, layout)], layout.hidden


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_lines_fit_and_ids_stay_whole(width):
    shown, hidden = drawn(width)
    assert len(shown) == 3
    assert all(cell_len(line) <= width for line in shown)
    assert JOB in shown[1]
    assert (MODEL in shown[1]) is ("result" not in hidden)


def test_columns_that_do_not_fit_are_left_out_by_rank():
    assert drawn(40)[1] == ["name", "created", "result"]
    assert drawn(80)[1] == ["result"]
    shown, hidden = drawn(107)
    assert hidden == ["created"]
    assert "Fragen an den Buch…" in shown[1]
    assert drawn(None)[1] == []


def test_an_id_that_is_wider_than_the_terminal_is_printed_whole():
    assert [line.split()[0] for line in drawn(20)[0]] == ["id", JOB, JOB]


def test_wide_cells_align_and_line_feeds_do_not_break_lines():
    shown, _ = drawn(None)
    assert {cell_len(line[: line.index("2026")]) for line in shown[1:]} == {77}


def test_cut_in_the_middle_keeps_both_ends():
    columns = [Column("model", cut="middle"), Column("requests")]
    rows = [[MODEL, "1,200"], [MODEL, "3"]]
    shown = [line.plain for line in lines(columns, rows, lay_out(columns, rows, 34))]
    assert [cell_len(line) for line in shown] == [34, 34, 34]
    assert shown[1].startswith("ft:smollm2")
    assert "…" in shown[1]
    assert shown[2].endswith("4kpfohr         3")


def test_all_columns_fit_on_more_lines_with_whole_cells():
    layout = lay_out(COLUMNS, ROWS, None)
    shown = [line.plain for line in lines(COLUMNS, ROWS, layout, 80)]
    assert all(cell_len(line) <= 80 for line in shown)
    assert shown[1] == "    created           result"
    assert shown[2].split("  ") == [JOB, ROWS[0][1]]
    assert shown[3].split("  ") == ["", "", ROWS[0][2], MODEL]
    assert len(shown) == 6


def test_sizes_end_at_the_same_place():
    rows = [["1.2 KiB"], ["904 B"]]
    shown = [
        line.plain for line in lines([Column("size")], rows, lay_out([Column("size")], rows, 80))
    ]
    assert shown == ["   size", "1.2 KiB", "  904 B"]


def test_broken_lines_are_indented_and_wide_characters_count_twice():
    assert wrapped("12:00  書店への質問 は 多い です", 20, hanging=7) == [
        "12:00  書店への質問",
        "       は 多い です",
    ]
    assert wrapped("   Run `finetuned files clean FILE_ID` first.", 36) == [
        "   Run",
        "   `finetuned files clean FILE_ID`",
        "   first.",
    ]
    command = f'finetuned chat "{MODEL}" --compare base'
    assert wrapped(f"Try it: {command}", 60) == ["Try it:", command]
    assert wrapped(f"12:00  Model {MODEL}", 60, hanging=18)[1] == MODEL  # it would not fit


def test_text_is_wrapped_at_spaces_only():
    told = f"The new model is {MODEL}, of 12 rows.\n\nIt is served at once."
    assert wrapped(told, 40) == [
        "The new model is",
        f"{MODEL},",
        "of 12 rows.",
        "",
        "It is served at once.",
    ]
    assert wrapped(told, 200) == told.split("\n")
    assert wrapped(told, 3) == [told]
