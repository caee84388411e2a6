"""Comparisons of two files: rows that differ as a multiset, lineage of cleanings, and drift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.datasets.compare_files import compare_files
from service.datasets.contract.tasks import CleanOptions, DiffSpec
from service.datasets.contract.versions import (
    CHANGES,
    INDEX,
    OTHER_TEXTS,
    TEXTS,
    Diff,
    Entry,
    Lineage,
    RowPlace,
    decode_entries,
    encode_entry,
)
from tests.conftest import chat_line
from tests.datasets.support import clean, run_measured

OPEN = chat_line("When do you open?", "At nine, every day but Monday.")
PARK = chat_line("Where can I park?", "Behind the house, for two hours.")
JAPANESE = chat_line("何時に開きますか?", "月曜日を除いて毎日九時に開きます。")
FILLER = "Please read all of it. " * 3
# It takes 158 MiB, 148 of them for libraries. The rows of one file as objects take 40 MiB more.
MOST_BYTES = 165 * 2**20
THAI = chat_line("ร้านเปิดกี่โมง", "เปิดเก้าโมงเช้าทุกวันยกเว้นวันจันทร์")


def with_system(system: str, question: str, answer: str) -> str:
    row = json.loads(chat_line(question, answer))
    row["messages"].insert(0, {"role": "system", "content": system})
    return json.dumps(row, ensure_ascii=False)


def compared(folder: Path, before: list[str], after: list[str], **options: Any) -> Diff:
    for name, rows in (("before", before), ("after", after)):
        (folder / name).write_text("\n".join(rows), "utf-8")
    (folder / "out").mkdir(exist_ok=True)
    paths: dict[str, Any] = {
        "path": folder / "before",
        "other": folder / "after",
        "out": folder / "out",
    }
    return compare_files(DiffSpec(result=folder / "result.json", **paths, **options))


def changes(folder: Path) -> list[tuple[str, int | None, int | None]]:
    """The kind of each difference, with the lines of its rows."""
    entries = decode_entries((folder / "out" / CHANGES).read_bytes())
    return [(e.change, e.row and e.row.line, e.other and e.other.line) for e in entries]


def counts(diff: Diff) -> tuple[int, int, int, int]:
    return diff.unchanged, diff.changed, diff.removed, diff.added


def test_rows_in_another_order_are_the_same(tmp_path):
    diff = compared(tmp_path, [OPEN, JAPANESE, THAI, OPEN], [THAI, OPEN, "", OPEN, JAPANESE])
    assert counts(diff) == (4, 0, 0, 0)
    assert (diff.summary, diff.drift) == ("Both files have the same rows.", [])
    assert changes(tmp_path) == []


def test_each_copy_of_a_row_counts(tmp_path):
    diff = compared(tmp_path, [OPEN, OPEN, THAI, OPEN], [THAI, THAI, OPEN])
    assert counts(diff) == (2, 0, 2, 1)
    assert changes(tmp_path) == [("removed", 2, None), ("removed", 4, None), ("added", None, 2)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (JAPANESE, chat_line("何時に開きますか?", "毎日十時に開きます。")),
        (THAI, with_system("ตอบสั้น ๆ", "ร้านเปิดกี่โมง", "เปิดเก้าโมงเช้าทุกวันยกเว้นวันจันทร์")),
        (with_system("Be kind.", "Where?", "Here."), with_system("Be brief.", "Where?", "There.")),
        (chat_line("Where?", "HERE"), chat_line("Where?", "here")),
    ],
    ids=["answer", "system", "answer and system", "case"],
)
def test_a_row_with_the_same_question_is_changed(tmp_path, before, after):
    diff = compared(tmp_path, [OPEN, before], [after, PARK, OPEN])
    assert counts(diff) == (1, 1, 0, 1)
    assert changes(tmp_path) == [("changed", 2, 1), ("added", None, 2)]


def test_another_question_is_another_row(tmp_path):
    asked = chat_line("何時に閉まりますか?", "月曜日を除いて毎日九時に開きます。")
    assert counts(compared(tmp_path, [JAPANESE], [asked])) == (0, 0, 1, 1)


def test_of_several_answers_the_one_that_is_alike_is_the_counterpart(tmp_path):
    same, other = (with_system(s, "Where?", "Here.") for s in ("Be kind.", "Be brief."))
    diff = compared(tmp_path, [chat_line("Where?", "There."), same], [other])
    assert counts(diff) == (0, 1, 1, 0)
    assert changes(tmp_path) == [("changed", 2, 1), ("removed", 1, None)]


def test_texts_without_questions_are_never_versions_of_each_other(tmp_path):
    texts = [
        json.dumps({"messages": [{"role": "assistant", "content": text}]})
        for text in ("Once upon a time.", "The end of the story.")
    ]
    assert counts(compared(tmp_path, texts[:1], texts[1:])) == (0, 0, 1, 1)


def test_rejected_answers_and_labels_count(tmp_path):
    def preference(worse: str) -> str:
        turns = [[{"role": "assistant", "content": text}] for text in ("Good.", worse)]
        asked = {"messages": [{"role": "user", "content": "How?"}]}
        names = ("preferred_output", "non_preferred_output")
        return json.dumps({"input": asked, **dict(zip(names, turns, strict=True))})

    diff = compared(tmp_path, [preference("Bad.")], [preference("Worse.")])
    assert counts(diff) == (0, 1, 0, 0)

    labeled = [json.loads(row) for row in (OPEN, PARK, THAI)]
    before, after = (
        [json.dumps(row | {"label": label}) for row, label in zip(labeled, labels, strict=True)]
        for labels in ((True, True, False), (True, False, False))
    )
    diff = compared(tmp_path, before, after)
    assert changes(tmp_path) == [("changed", 2, 2)]
    assert {s.name: s.rows for s in diff.after.classes} == {"good": 1, "bad": 2}


def test_a_cleaned_row_matches_its_source_row(tmp_path):
    """Its question is masked as well, so that only the lineage connects the two."""
    ask = chat_line("My address is anna@example.com. Is that right?", "Yes: anna@example.com.")
    rows = [OPEN, "{broken", OPEN, ask, THAI]
    (tmp_path / "source").write_text("\n".join(rows), "utf-8")
    (tmp_path / "decisions").write_text(
        json.dumps({"line": 2, "action": "edit", "row": json.loads(JAPANESE)}), "utf-8"
    )
    made = clean(
        tmp_path / "source",
        tmp_path / "cleaned",
        CleanOptions(personal_data="mask", validation_share=0.25, seed=1),
        decisions=tmp_path / "decisions",
    )
    assert made.validation is not None
    found: dict[str, int] = {"unchanged": 0, "changed": 0, "added": 0}
    lines = []
    for is_validation, output in ((False, made.train), (True, made.validation)):
        out = tmp_path / f"out-{is_validation}"
        out.mkdir()
        spec = DiffSpec(
            path=tmp_path / "source",
            other=Path(output.path),
            out=out,
            result=tmp_path / "result.json",
            lineage=Lineage(Path(made.diff.path), is_validation=is_validation),
        )
        diff = compare_files(spec)
        assert diff.before.broken_rows == 1
        entries = decode_entries((out / CHANGES).read_bytes())
        lines += [e.row.line for e in entries if e.change == "changed" and e.row]
        for name in found:
            found[name] += getattr(diff, name)
    # The edited row was broken, so it is new. Of the copies, one was dropped.
    assert (found, lines) == ({"unchanged": 2, "changed": 1, "added": 1}, [4])


def test_the_index_has_texts_that_are_not_stored_elsewhere(tmp_path):
    diff = compared(tmp_path, [OPEN, THAI], [THAI, JAPANESE])
    assert counts(diff) == (1, 0, 1, 1)
    removed, added = decode_entries((tmp_path / "out" / CHANGES).read_bytes())
    for place, name, row in ((removed.row, TEXTS, OPEN), (added.other, OTHER_TEXTS, JAPANESE)):
        assert place is not None
        data = (tmp_path / "out" / name).read_bytes()[place.start : place.start + place.bytes]
        assert json.loads(data) == json.loads(row)
    index = json.loads((tmp_path / "out" / INDEX).read_bytes())
    assert (index["has_texts"], index["has_other_texts"]) == (True, True)


def test_entries_are_read_as_they_were_written():
    entries = [
        Entry(RowPlace(1, 0, 7), RowPlace(2**32 - 1, 2**40, 2**32 - 1)),
        Entry(RowPlace(3, 9, 8), None),
        Entry(None, RowPlace(4, 5, 6)),
    ]
    assert decode_entries(b"".join(encode_entry(entry) for entry in entries)) == entries


def labels(counted: dict[str, int]) -> list[str]:
    return [
        chat_line(f"Ticket {number}: which team?", label)
        for label, count in counted.items()
        for number in range(count)
    ]


def drift(diff: Diff) -> dict[tuple[str, str | None], tuple[float, float, float]]:
    return {(s.measure, s.name): (s.before, s.after, s.size) for s in diff.drift}


def test_languages_shift(tmp_path):
    before = [
        chat_line(f"第{n}号の本はありますか?", f"はい、第{n}号の棚にあります。") for n in range(6)
    ]
    after = [*before[:3], *(chat_line(f"Do you have volume {n}?", "Yes, we do.") for n in range(3))]
    diff = compared(tmp_path, before, after)
    assert drift(diff)["language", "ja"] == (1.0, 0.5, 0.5)
    assert drift(diff)["language", "en"] == (0.0, 0.5, 0.5)
    [shift] = [s for s in diff.drift if s.name == "ja"]
    assert shift.text == "the share of rows in Japanese fell from 100% to 50%"


def test_the_summary_names_what_shifted_most(tmp_path):
    before = labels({"billing": 40, "repairs": 10})
    after = labels({"billing": 10, "repairs": 40})
    diff = compared(tmp_path, before, after)
    assert drift(diff)["class", "billing"] == (0.8, 0.2, 0.6)
    assert {s.name: s.rows for s in diff.before.classes} == {"billing": 40, "repairs": 10}
    assert diff.drift[0].measure == "class"
    assert diff.summary.endswith(
        "what shifted most: the share of rows with the answer “billing” fell from 80% to 20%."
    )


def test_lengths_turns_prompts_tools_and_personal_data_shift(tmp_path):
    call = {
        "role": "assistant",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
    }
    later = []
    for number in range(4):
        row = json.loads(with_system("Be kind.", f"Is number {number} free today?", "Yes."))
        row["messages"][2:2] = [call, {"role": "tool", "tool_call_id": "a", "content": "free"}]
        row["messages"][-1]["content"] = f"Yes, write to guest{number}@example.com, please do."
        later.append(json.dumps(row))
    before = [chat_line(f"Is number {number} free?", "Yes.") for number in range(4)]
    diff = compared(tmp_path, before, later)
    found = drift(diff)
    assert found["turns", None] == (2.0, 4.0, 1.0)
    assert found["system_prompts", None] == found["tools", None] == (0.0, 1.0, 1.0)
    assert found["question_characters", None] == (17.0, 23.0, 1.0)
    assert found["answer_characters", None][0] == 4.0
    assert found["personal_data", "email"] == (0.0, 1.0, 1.0)
    assert (diff.after.personal_rows, diff.after.personal_data) == (4, {"email": 4})


@pytest.mark.slow
def test_many_rows_are_compared_in_little_memory(tmp_path):
    """20,000 rows on each side; half of them answer the same questions differently."""
    for name, offset in (("before", 0), ("after", 10_000)):
        with (tmp_path / name).open("w") as file:
            for number in range(20_000):
                answer = number + (offset if number % 2 else 0)
                file.write(chat_line(f"{number}? {FILLER}", f"It is {answer}.") + "\n")
    (tmp_path / "out").mkdir()
    spec = {
        "action": "diff",
        "path": str(tmp_path / "before"),
        "other": str(tmp_path / "after"),
        "out": str(tmp_path / "out"),
    }
    diff, peak = run_measured(spec, tmp_path)
    found = tuple(diff[name] for name in ("unchanged", "changed", "removed", "added"))
    assert found == (10_000, 10_000, 0, 0)
    assert peak < MOST_BYTES
