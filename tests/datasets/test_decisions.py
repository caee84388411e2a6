"""Decisions on single rows: keep, drop and edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import CleanOptions, CleanResult
from tests.conftest import chat_line
from tests.datasets.support import clean

ROWS = [
    chat_line("When do you open?", "At nine."),  # line 1
    chat_line("When do you open?", "At nine."),  # 2: the same
    chat_line("When do you open?", "At ten."),  # 3: a contradiction
    "{broken",  # 4
    chat_line("Who is there?", "Write to anna@example.com."),  # 5
    "",  # 6: no row
    chat_line("Do you deliver?", "Yes, by bicycle."),  # 7
]


def edit(line: int, answer: str) -> dict[str, Any]:
    row = json.loads(chat_line("Edited?", answer))
    return {"line": line, "action": "edit", "row": row}


def run(
    folder: Path, *decisions: dict[str, Any] | str, **options: Any
) -> tuple[CleanResult, list[str], list[Any]]:
    """Clean the rows. Returns the result, the answers that are left, and the diff."""
    source, given = folder / "source", folder / "decisions"
    source.write_text("\n".join(ROWS), "utf-8")
    given.write_text(
        "\n".join(one if isinstance(one, str) else json.dumps(one) for one in decisions), "utf-8"
    )
    result = clean(source, folder / "out", CleanOptions(**options), decisions=given)
    rows = [json.loads(line) for line in Path(result.train.path).read_bytes().splitlines()]
    diff = [json.loads(line) for line in Path(result.diff.path).read_bytes().splitlines()]
    return result, [row["messages"][-1]["content"] for row in rows], diff


def test_rows_are_dropped_and_edited(tmp_path):
    drop = {"line": 7, "action": "drop"}
    result, answers, diff = run(tmp_path, drop, edit(5, "Ask the owner."))
    assert answers == ["At nine.", "At ten.", "Ask the owner."]
    assert result.dropped == {"broken": 1, "decision": 1, "exact_duplicate": 1}
    assert (result.changed, result.changed_rows) == ({"edited": 1}, 1)
    decided = [(d["line"], d["action"]) for d in diff if d["reason"] == "decision"]
    assert decided == [(5, "changed"), (7, "dropped")]


def test_a_kept_row_is_not_dropped_as_a_duplicate_or_contradiction(tmp_path):
    keep = [{"line": line, "action": "keep"} for line in (2, 3)]
    _, answers, diff = run(tmp_path, *keep, contradictions="first")
    assert answers[:3] == ["At nine.", "At nine.", "At ten."]
    kept = [(d["line"], d["action"]) for d in diff if d["reason"] == "decision"]
    assert kept == [(2, "kept"), (3, "kept")]


def test_a_broken_row_is_edited_in_its_place_or_dropped(tmp_path):
    result, answers, _ = run(tmp_path, edit(4, "Mended."), drop_broken=False)
    assert answers == ["At nine.", "At ten.", "Mended.", *_LAST]
    assert "broken" not in result.dropped
    result, _, diff = run(tmp_path, {"line": 4, "action": "drop"}, drop_broken=False)
    assert result.dropped["decision"] == 1
    assert [d["reason"] for d in diff if d["line"] == 4] == ["decision"]


def test_edited_rows_are_cleaned_like_all_others(tmp_path):
    _, answers, _ = run(tmp_path, edit(7, "Ask bob@example.com."), personal_data="pseudonym")
    assert answers[-2:] == ["Write to [EMAIL_1].", "Ask [EMAIL_2]."]


def test_an_edited_row_that_ends_the_file_is_not_lost(tmp_path):
    _, answers, _ = run(tmp_path, edit(7, "The last."))
    assert answers[-1] == "The last."


@pytest.mark.parametrize(
    ("decision", "code", "says"),
    [
        ("{", "invalid_decision", "Line 1 of the decisions"),
        ({"line": 0, "action": "drop"}, "invalid_decision", "number of a line, from 1"),
        ({"line": 1, "action": "remove"}, "invalid_decision", "not 'keep', 'drop' or 'edit'"),
        ({"line": 1, "action": "drop", "why": "x"}, "invalid_decision", "why"),
        ({"line": 1, "action": "edit"}, "invalid_decision", "'edit' needs a 'row'"),
        ({**edit(1, "x"), "action": "keep"}, "invalid_decision", "only 'edit' has one"),
        ({"line": 6, "action": "drop"}, "no_row_at_line", "line 6"),
        ({"line": 99, "action": "keep"}, "no_row_at_line", "line 99"),
        ({"line": 4, "action": "keep"}, "broken_row_kept", "line 4"),
        (
            {"line": 5, "action": "edit", "row": {"messages": []}},
            "empty_messages",
            "line 5/messages",
        ),
    ],
)
def test_invalid_decisions_are_refused(tmp_path, decision, code, says):
    with pytest.raises(DatasetError) as refused:
        run(tmp_path, decision)
    assert refused.value.issue.code == code
    assert says in str(refused.value)


def test_two_decisions_on_a_row_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"Line 2 .* an earlier one on line 5"):
        run(tmp_path, {"line": 5, "action": "keep"}, {"line": 5, "action": "drop"})


_LAST = ["Write to anna@example.com.", "Yes, by bicycle."]
