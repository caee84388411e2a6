"""Tests of cleaning: dropped and changed rows, the diff, and reproducibility."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.datasets.checks.issues import DatasetError
from service.datasets.checks.validate import validate_file
from service.datasets.contract.tasks import CleanOptions, CleanResult
from service.datasets.formats.options import FormatOptions
from tests.datasets.support import analyze, chat, clean


def words(seed: int, count: int = 12) -> str:
    pick = random.Random(seed)
    return " ".join("".join(pick.choices("bdfgklmnprstvaeiou", k=7)) for _ in range(count))


def run(
    folder: Path,
    rows: list[Any] | bytes,
    *,
    file_format: FormatOptions | None = None,
    processes: int = 1,
    **options: Any,
) -> tuple[CleanResult, list[Any], list[Any], list[Any]]:
    """Run a cleaning. Returns the result and the rows of the three files."""
    source = folder / "source"
    if isinstance(rows, bytes):
        source.write_bytes(rows)
    else:
        source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    out = folder / "out"
    chosen = file_format or FormatOptions()
    result = clean(source, out, CleanOptions(**options), format=chosen, processes=processes)
    files = [result.train, result.validation, result.diff]
    read = [
        [json.loads(line) for line in Path(file.path).read_bytes().splitlines()] if file else []
        for file in files
    ]
    assert [len(rows) for rows in read] == [file.rows if file else 0 for file in files]
    assert {path.name for path in out.iterdir()} <= {
        "train.jsonl",
        "validation.jsonl",
        "diff.jsonl",
    }
    return result, read[0], read[1], read[2]


def test_duplicates_are_dropped_and_listed_in_the_diff(tmp_path: Path) -> None:
    one, other = chat(words(1), words(2)), chat(words(3), words(4))
    near = chat(words(1) + "!", words(2))
    rows = [one, other, {"messages": []}, one, near, b"{".decode()]
    result, train, _, diff = run(tmp_path, rows, near_duplicates=True)
    assert train == [one, other]
    assert result.dropped == {"broken": 2, "exact_duplicate": 1, "near_duplicate": 1}
    assert diff == [
        {"line": 3, "action": "dropped", "reason": "broken", "code": "empty_messages"},
        {"line": 4, "action": "dropped", "reason": "exact_duplicate", "other": 1},
        {"line": 5, "action": "dropped", "reason": "near_duplicate", "other": 1},
        {"line": 6, "action": "dropped", "reason": "broken", "code": "not_an_object"},
    ]
    _, train, _, _ = run(tmp_path, rows)
    assert train == [one, other, near]
    _, train, _, _ = run(tmp_path, rows, exact_duplicates=False)
    assert train == [one, other, one, near]


def preference(better: str, worse: str) -> dict[str, Any]:
    answers = ([{"role": "assistant", "content": text}] for text in (better, worse))
    question = {"messages": [{"role": "user", "content": "Is it open on Sunday, please?"}]}
    return dict(
        zip(
            ("input", "preferred_output", "non_preferred_output"), (question, *answers), strict=True
        )
    )


def tool(description: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "look", "description": description}}]


LONG = "The workshop in the old town is open every day of the week, all through the year, "
CODE = chat("Write the function", "def f():\n    if x:\n        y()\n    z()")
SAME_BUT = {
    "a number": [chat(LONG + f"at {n}?", LONG + f"at {n}.") for n in (8, 9)],
    "a date": [chat(LONG + d, LONG + d) for d in ("2024-05-01", "2024-05-02")],
    "yes and no": [chat(LONG + "even today?", word + LONG) for word in ("Yes. ", "No. ")],
    "case": [chat("Say where polish comes from", word) for word in ("Polish", "polish")],
    "indentation": [
        CODE,
        chat("Write the function", "def f():\n    if x:\n        y()\n        z()"),
    ],
    "width": [chat("Copy it", "ABC"), chat("Copy it", "ＡＢＣ")],
    "the system prompt": [
        {"messages": [{"role": "system", "content": s}, *chat("Hello", LONG)["messages"]]}
        for s in ("Speak as a pirate.", "Speak as a judge.")
    ],
    "the tools": [chat("Hello", LONG) | {"tools": tool(d)} for d in ("Looks up", "Looks down")],
    "having tools": [chat("Hello", LONG), chat("Hello", LONG) | {"tools": tool("Looks")}],
    "the weight": [
        {"messages": [*chat(LONG, "a")["messages"], *chat(LONG, "b")["messages"][:1], answer]}
        for answer in (
            {"role": "assistant", "content": "b", "weight": 0},
            {"role": "assistant", "content": "b"},
        )
    ],
    "the rejected answer": [preference("Yes, until six.", worse) for worse in ("No.", LONG)],
}


@pytest.mark.parametrize("difference", SAME_BUT)
def test_rows_that_differ_in_trained_content_are_kept(tmp_path: Path, difference: str) -> None:
    rows = SAME_BUT[difference]
    result, train, _, _ = run(tmp_path, rows)
    assert train == rows
    assert result.dropped == {}


def test_rows_with_equal_trained_content_are_duplicates(tmp_path: Path) -> None:
    row = chat("Hello", LONG)
    weighted = {"messages": [row["messages"][0], row["messages"][1] | {"weight": 1}]}
    rows = [row, weighted, row | {"parallel_tool_calls": False}, row]
    result, train, _, _ = run(tmp_path, rows)
    assert train == [row]
    assert result.dropped == {"exact_duplicate": 3}


@pytest.mark.parametrize("difference", ["the system prompt", "the tools", "the rejected answer"])
def test_near_duplicates_must_share_system_prompt_tools_and_rejected_answer(
    tmp_path: Path, difference: str
) -> None:
    rows = SAME_BUT[difference]
    _, train, _, _ = run(tmp_path, rows, near_duplicates=True)
    assert train == rows


def test_a_threshold_of_one_ignores_only_case_and_spacing(tmp_path: Path) -> None:
    rows = [chat(LONG, "Yes."), chat(LONG.upper() + " ", "yes."), chat(LONG, "Yes, 9.")]
    _, train, _, _ = run(tmp_path, rows, near_duplicates=True, near_threshold=1)
    assert train == [rows[0], rows[2]]


def test_rows_with_other_tools_do_not_contradict_each_other(tmp_path: Path) -> None:
    rows = [chat("Hello", f"{d} it is") | {"tools": tool(d)} for d in ("Up", "Down")]
    _, train, _, _ = run(tmp_path, rows, contradictions="first")
    assert train == rows


def test_broken_rows_are_refused_without_drop_broken(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 2") as caught:
        run(tmp_path, [chat("a", "b"), {}], drop_broken=False)
    assert caught.value.issue.code == "broken_row"


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("keep", [1, 2, 3, 4, 5]),
        ("first", [1, 5]),
        ("last", [2, 5]),
        ("most_common", [2, 5]),
        ("longest", [3, 5]),
        ("drop", [5]),
    ],
)
def test_contradictions_are_resolved_by_the_named_rule(
    tmp_path: Path, rule: str, left: list[int]
) -> None:
    prompt = "When do you open?"
    rows = [
        chat(prompt, "At 7."),
        chat(prompt, "At 8."),
        chat(prompt, "At 9 on all days but Sunday."),
        chat(prompt, "At 10."),
        chat(words(5), words(6)),
        chat(prompt, "At 8."),  # the answer of row 2 is the most common
    ]
    _, train, _, diff = run(tmp_path, rows, contradictions=rule)
    assert train == [rows[line - 1] for line in left]
    assert {entry["line"] for entry in diff} == {1, 2, 3, 4, 5, 6} - set(left)


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("How many are in a dozen?", ["Twelve.", "13", "12", "It is 12"]),
        ("When do you open?", ["9 am", "9:30 AM", "9:00 AM", "At 9am."]),
    ],
)
def test_answers_that_mean_the_same_do_not_contradict(
    tmp_path: Path, question: str, answers: list[str]
) -> None:
    rows = [chat(question, answer) for answer in answers]
    result, train, _, diff = run(tmp_path, rows, contradictions="most_common")
    assert result.dropped == {"contradiction": 1}
    assert train == [rows[0], *rows[2:]]
    assert diff == [{"line": 2, "action": "dropped", "reason": "contradiction", "other": 1}]


def test_texts_are_repaired_and_normalized(tmp_path: Path) -> None:
    rows = [
        chat("Cafe\u0301 or か\u3099?", "FULL \uff21\uff22"),
        chat("The cafÃ© crÃ¨me, naÃ¯ve", "bell\x07 \x1b[0m"),
    ]
    repairs: dict[str, Any] = {
        "unicode": "NFC",
        "mend_mojibake": True,
        "drop_control_characters": True,
    }
    result, train, _, diff = run(tmp_path, rows, **repairs)
    assert train == [
        chat("Café or が?", "FULL \uff21\uff22"),
        chat("The café crème, naïve", "bell \x1b[0m"),
    ]
    assert result.changed == {
        "dropped_control_characters": 1,
        "mended_encoding": 1,
        "normalised_unicode": 1,
    }
    assert [entry["line"] for entry in diff] == [1, 2]
    _, train, _, _ = run(tmp_path, rows[:1], unicode="NFKC")
    assert train == [chat("Café or が?", "FULL AB")]
    _, train, _, diff = run(tmp_path, rows)
    assert (train, diff) == (rows, [])


CALLING = {
    "messages": [
        {"role": "user", "content": "Call us, ann@example.com or +65 6123 4567."},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {
                        "name": "mail",
                        "arguments": '{"to": ["ANN@example.com"], "card": 4111111111111111}',
                    },
                }
            ],
        },
        {"role": "tool", "content": "sent to bob@example.com", "tool_call_id": "1"},
        {"role": "assistant", "content": "Sent."},
    ]
}


@pytest.mark.parametrize(("mode", "label"), [("mask", "[{}]"), ("pseudonym", "[{}_1]")])
def test_personal_data_is_redacted_everywhere(tmp_path: Path, mode: str, label: str) -> None:
    result, train, _, diff = run(tmp_path, [CALLING], personal_data=mode)
    email, phone, card = (label.format(kind) for kind in ("EMAIL", "PHONE", "PAYMENT_CARD"))
    messages = train[0]["messages"]
    assert messages[0]["content"] == f"Call us, {email} or {phone}."
    arguments = json.loads(messages[1]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"to": [email], "card": card}
    other = "[EMAIL_2]" if mode == "pseudonym" else "[EMAIL]"
    assert messages[2]["content"] == f"sent to {other}"
    assert result.changed == {"redacted_email": 3, "redacted_payment_card": 1, "redacted_phone": 1}
    for word in ("ann@", "4111", "6123"):
        assert word not in json.dumps([diff, msgspec.to_builtins(result)]).lower()
    again, _, _, _ = run(tmp_path, train, personal_data=mode)
    assert again.changed == {}


@pytest.mark.slow
def test_a_split_is_stratified_and_keeps_similar_rows_together(tmp_path: Path) -> None:
    rows, origin = [], {}
    for number in range(400):
        thai = number % 4 == 0
        text = words(number) if not thai else "สวัสดีครับ " + words(number)
        answer = "ยินดีให้บริการทุกวันตลอดทั้งปี" if thai else "We are glad to help all year round."
        row = chat(text, f"{answer} {words(number + 1000, 20)}")
        rows.append(row)
        origin[json.dumps(row)] = (number, thai)
        if number % 3 == 0:  # a near copy, which must stay on the same side
            copy = chat(text + "!", row["messages"][1]["content"])
            rows.append(copy)
            origin[json.dumps(copy)] = (number, thai)
    options: dict[str, Any] = {"validation_share": 0.2, "near_duplicates": False, "seed": 3}
    result, train, held, diff = run(tmp_path, rows, **options)
    assert len(train) + len(held) == len(rows)
    assert abs(len(held) / len(rows) - 0.2) < 0.03
    sides = [{origin[json.dumps(row)] for row in side} for side in (train, held)]
    assert not sides[0] & sides[1]
    thai_share = sum(thai for _, thai in sides[1]) / len(sides[1])
    assert abs(thai_share - 0.25) < 0.05
    assert sum(entry["action"] == "held_out" for entry in diff) == len(held)
    again, *_ = run(tmp_path, rows, **options)
    assert again.train.sha256 == result.train.sha256
    other, *_ = run(tmp_path, rows, **options | {"seed": 4})
    assert other.validation != result.validation


def test_the_same_input_and_options_give_the_same_bytes(tmp_path: Path) -> None:
    table = "คำถาม,คำตอบ\n" + "".join(f"{words(i)},{words(i + 1)}\n" for i in range(60))
    options: dict[str, Any] = {
        "file_format": FormatOptions(system="Be kind."),
        "personal_data": "pseudonym",
        "validation_share": 0.3,
        "contradictions": "longest",
    }
    first, train, held, _ = run(tmp_path, table.encode("tis_620"), **options)
    digests = [first.train.sha256, first.validation and first.validation.sha256, first.diff.sha256]
    for processes in (1, 2):
        again, *_ = run(tmp_path, table.encode("tis_620"), **options, processes=processes)
        assert [
            again.train.sha256,
            again.validation and again.validation.sha256,
            again.diff.sha256,
        ] == digests
    assert first.source.facts.encoding == "TIS-620"
    assert {row["messages"][0]["content"] for row in train + held} == {"Be kind."}


def test_preference_rows_are_cleaned_and_reported(tmp_path: Path) -> None:
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": words(n)}]},
            "preferred_output": [{"role": "assistant", "content": words(n + 100) + " a@b.example"}],
            "non_preferred_output": [{"role": "assistant", "content": "mail c@d.example"}],
        }
        for n in (1, 2, 1, 3)
    ]
    result, train, held, _ = run(tmp_path, rows, personal_data="mask", validation_share=0.34)
    assert result.source.facts.row_format == "preference"
    assert result.dropped == {"exact_duplicate": 1}
    assert (len(train), len(held)) == (2, 1)
    assert "b.example" not in json.dumps(train)
    assert train[0]["non_preferred_output"][0]["content"] == "mail [EMAIL]"
    report = analyze(tmp_path / "source", work=tmp_path)
    assert (report.rows, report.exact_duplicates.extra_rows) == (4, 1)
    (email,) = report.personal_data
    assert email.count == 8
    assert (1, "/non_preferred_output/0") in email.places


_text = st.text(max_size=30) | st.sampled_from(["a@b.example.com", "4111 1111 1111 1111", " "])
_rows = st.lists(st.builds(chat, _text, _text) | st.none(), max_size=12)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=_rows,
    rule=st.sampled_from(["keep", "first", "most_common", "drop"]),
    share=st.sampled_from([0.0, 0.3]),
    mode=st.sampled_from(["keep", "pseudonym"]),
)
def test_cleaned_files_are_valid_and_a_second_cleaning_changes_nothing(
    tmp_path: Path, rows: list[Any], rule: str, share: float, mode: str
) -> None:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if not any(row is not None for row in rows):
        return
    options: dict[str, Any] = {
        "contradictions": rule,
        "personal_data": mode,
        "file_format": FormatOptions(container="jsonl"),
    }
    result, train, held, _ = run(tmp_path, data, validation_share=share, **options)
    assert validate_file(result.train.path).valid_rows == len(train)
    dropped = sum(result.dropped.values())
    assert len(train) + len(held) + dropped == len(rows)
    if train:
        again, same, _, _ = run(tmp_path, Path(result.train.path).read_bytes(), **options)
        assert same == train
        assert again.diff.rows == 0
