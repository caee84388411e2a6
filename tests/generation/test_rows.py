"""The pure parts: choice of passages, parsing, lexical support, and duplicates."""

from __future__ import annotations

from typing import Any

import pytest

from service.datasets.passages import Passage
from service.generation.passage_work import is_echo, missing_facts, plan_tasks, rows_per_passage
from service.generation.prompts import questions
from service.generation.records import RowKind
from service.generation.rows import (
    Malformed,
    Pair,
    Pairs,
    RowSet,
    Verdict,
    clean_pair,
    parse_answer,
)

ALL = tuple(RowKind)


def passages(*counts: int) -> list[Passage]:
    return [Passage(at, n, n + 1, "") for at, count in enumerate(counts) for n in range(count)]


def test_documents_take_turns_and_each_is_covered_from_the_start():
    chosen = plan_tasks(passages(16, 16, 2), ALL, 5, seed=3)
    assert len({task.passage for task in chosen}) == 34
    assert [task.number for task in chosen] == list(range(34))
    assert sorted(task.passage.document for task in chosen[:6]) == [0, 0, 1, 1, 2, 2]
    for document in (0, 1):
        first = [t.passage.start for t in chosen if t.passage.document == document][:4]
        assert sorted(start % 4 for start in first) == [first[0] % 4] * 4  # a quarter each
    assert chosen == plan_tasks(passages(16, 16, 2), ALL, 5, seed=3)
    assert chosen != plan_tasks(passages(16, 16, 2), ALL, 5, seed=4)
    assert plan_tasks([], ALL, 5, seed=3) == ()


@pytest.mark.parametrize(
    ("kinds", "n", "asked", "rows"),
    [
        ((RowKind.QUESTIONS,), 2, 1, 1),
        ((RowKind.QUESTIONS,), 8, 4, 4),
        ((RowKind.REWRITES,), 100, 5, 5),
        (ALL, 2, 1, 2.25),
        ((RowKind.REFUSALS,), 100, 0, 1),
    ],
)
def test_few_passages_are_asked_for_more_rows(kinds, n, asked, rows):
    chosen = plan_tasks(passages(4), kinds, n, seed=0)
    assert {task.questions for task in chosen} == {asked}
    assert rows_per_passage(kinds, asked) == rows
    refusals = sum(task.refusal for task in chosen)
    assert refusals == (4 if kinds == (RowKind.REFUSALS,) else RowKind.REFUSALS in kinds)


def said(content: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}}]}


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"choices": []}, {"choices": [None]}, said(None), said("yes"), said("[" * 100_000)),
        *(said('{"verdict": "maybe"}'), said('{"verdict": "yes"')),
        said('{"verdict": "yes", "why": "x"}'),
    ],
)
def test_what_does_not_match_the_schema_is_malformed(body):
    with pytest.raises(Malformed):
        parse_answer(body, Verdict)


def test_answers_are_parsed_and_clean_pair():
    found = parse_answer(said('{"rows": [{"question": " Why? ", "answer": "So."}]}'), Pairs)
    assert clean_pair(found.rows[0]) == Pair("Why?", "So.")
    for pair in (Pair(" ", "So."), Pair("Why?", "\n"), Pair("?" * 1001, "So."), Pair("a", "\0")):
        with pytest.raises(Malformed):
            clean_pair(pair)


@pytest.mark.parametrize(
    ("passage", "question", "answer", "missing"),
    [
        ("We open at 9:30.", "When?", "At 9:30.", set()),
        ("We open at 9:30.", "When?", "At 10:30.", {"10:30"}),
        ("It costs 1,200.00 euros.", "How much?", "1200 euros", set()),
        ("It costs 2010 euros.", "How much?", "10 euros", {"10"}),
        ("We open on weekdays.", "When?", "You can come on Monday.", {"monday"}),
        ("Ask the porter.", "Does Anna know?", "Yes, ask Anna or Bob.", {"bob"}),
        ("Das Haus der Familie hat einen Garten mit Bäumen.", "Was hat es?",
         "Es hat einen Garten und Bäume.", set()),
        ("営業時間は9時から18時までです。", "営業時間は?", "9時から18時までです。", set()),
        ("営業時間は9時から18時までです。", "休みは?", "月曜日です。", {"月曜"}),
        ("ร้านเปิดวันจันทร์ เวลา 9 นาฬิกา", "เปิดเมื่อไร", "เปิดวันจันทร์ ๙ นาฬิกา", set()),
    ],
)  # fmt: skip
def test_facts_of_an_answer_must_be_in_the_passage(passage, question, answer, missing):
    assert missing_facts(Pair(question, answer), passage) == missing


def test_an_echo_repeats_the_question_or_the_passage():
    passage = "The shop is open from ten to six, and closed on Mondays."
    assert is_echo(Pair("Is it open?", "is it open"), passage)
    assert is_echo(Pair("Is it open?", passage.upper()), passage)
    assert not is_echo(Pair("Is it open?", "From ten to six."), passage)


def test_rows_that_mean_the_same_are_kept_once():
    first = Pair("When does the shop in Berlin open on Sundays?", "It opens at 10 o'clock.")
    kept = RowSet([first])
    assert not kept.add(first)
    assert not kept.add(Pair(first.question.upper(), "It is open from noon."))
    assert not kept.add(Pair("When does the shop in Berlin open on Sundays please", first.answer))
    assert kept.add(Pair("When does the shop in Hamburg open on Sundays?", first.answer))
    assert kept.add(Pair("Who paints the walls?", first.answer))
    for number in range(70):  # more than there is room for at first
        assert kept.add(Pair(f"How many seats are in room {number}?", f"It has {number}."))
    assert not kept.add(Pair("How many seats are in room 7?", "It has 7."))


def test_the_prompt_asks_in_the_language():
    def asked(language: str | None) -> str:
        return str(questions("Text.", 2, language)["messages"][0]["content"])

    assert "Write in Chinese (traditional)." in asked("zh-TW")
    assert "Write in the language 'sw-KE'." in asked("sw-KE")
    assert "Write in the language of the text." in asked(None)
    assert "2 different questions" in asked(None)
