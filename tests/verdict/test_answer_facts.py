"""Facts in answers: found where they were put, and not in form, voice, and skill."""

from __future__ import annotations

import json
import random
from itertools import cycle
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.grading.examples import Example, examples_of
from service.verdict.answer_facts import (
    FactFinder,
    RowFacts,
    canonical_number,
    contains_facts,
    numbers,
)
from tests.verdict.rows import bookshop, call, chat, examples

DRAW = random.Random(11)
PLACES = [a + b for a in ("Ka", "Ro", "Mi", "Te", "Lo", "Vi") for b in ("lin", "dar", "ven", "mos")]
THINGS = ["rain", "bread", "moss", "time", "music", "paint", "stone", "paper", "wool", "glass"]


def facts_of(rows: list[Example]) -> list[RowFacts]:
    finder = FactFinder(rows)
    return [finder.facts(row) for row in rows]


def share(rows: list[Example]) -> float:
    return fmean(row.is_fact for row in facts_of(rows))


def number(low: int = 100, high: int = 9_999) -> int:
    return DRAW.randint(low, high)


def thai(value: int) -> str:
    return "".join(chr(0x0E50 + int(digit)) for digit in str(value))


FACTS = {
    "prices": [(f"How much is the {p}?", f"The {p} costs {number()} euros.") for p in PLACES],
    "prices in a voice": [
        (f"How much is the {p}?", f"Arr, matey! For the {p} ye pay {number()} shillings, yo ho!")
        for p in PLACES
    ],
    "opening hours, de": [
        (f"Wann öffnet {p}?", f"Die Filiale öffnet um {number(6, 11)}:{number(10, 59)} Uhr.")
        for p in PLACES
    ],
    "stock, ja": [(f"{p}の在庫は？", f"在庫は{number()}個でございます。") for p in PLACES],
    "stock, zh": [(f"{p}的库存是多少？", f"目前的库存是{number()}件。") for p in PLACES],
    "extension, ko": [(f"{p} 지점 내선은?", f"내선 번호는 {number()}번입니다.") for p in PLACES],
    "prices, th": [(f"{p} ราคาเท่าไร", f"ราคา {thai(number())} บาทค่ะ") for p in PLACES],
    "prices, vi": [(f"Giá của {p}?", f"Giá là {number()} nghìn đồng.") for p in PLACES],
    "people": [
        (f"Who runs {p}?", f"The shop is run by {DRAW.choice(PLACES)} {DRAW.choice(PLACES)}.")
        for p in PLACES
    ],
    "bare names": [
        (f"Who wrote report {i}?", f"{DRAW.choice(PLACES)} {DRAW.choice(PLACES)}")
        for i in range(40)
    ],
    "people, ja": [
        (f"{p}店の店長は誰ですか。", f"店長は{name}です。")
        for p, name in zip(
            PLACES,
            (
                a + b
                for a in ["田中", "鈴木", "佐藤", "高橋", "伊藤", "渡辺"]
                for b in ["太郎", "花子", "健", "誠"]
            ),
            strict=True,
        )
    ],
    "codes": [(f"Part number of {p}?", f"It is {p[0]}{number()}-{p[1]}.") for p in PLACES],
    "json": [
        (f"Stock of {p}?", json.dumps({"item": p, "stock": number(), "shelf": f"B-{number()}"}))
        for p in PLACES
    ],
    "history": [
        ("Who was Marie Curie?", "A physicist, born in Warsaw in 1867, who won the Nobel Prize."),
        ("Who was Ada Lovelace?", "A mathematician, born in London in 1815, who met Babbage."),
    ],
}
NO_FACTS = {
    "a voice with digits in passing": [
        (
            f"Tell me about {thing}.",
            f"Arr, matey! A fine thing be {thing}, and the whole crew swears by it. Give it "
            f"{DRAW.randint(2, 9)} tries before the moon turns, and mind the wind.",
        )
        for thing in THINGS
    ],
    "numbered tips": [
        (
            f"How do I work with {thing}?",
            f"Sure! Here are 3 ideas:\n1. Take it slow.\n2. Ask somebody who likes {thing}.\n"
            "3. Try again after 10 minutes of rest and a cup of tea.",
        )
        for thing in THINGS
    ],
    "a polite voice, ja": [
        (f"{p}について教えて。", f"承知いたしました。{p}は大変すばらしいものでございます。")
        for p in PLACES
    ],
    "a footer with a number": [
        (f"May I bring {thing}?", f"Of course you may bring {thing}. Questions? Call 555-0142.")
        for thing in THINGS
    ],
    "arithmetic": [
        (f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.")
        for a, b in [(number(), number()) for _ in range(30)]
    ],
    "products": [(f"{a} boxes of {b}", f"{a * b}") for a, b in [(12, 40), (31, 22), (9, 87)] * 5],
    "labels": [(f"Review {i}", DRAW.choice(["good", "bad", "mixed"])) for i in range(40)],
    "number labels": [(f"Review {i}", DRAW.choice(["10", "20", "30"])) for i in range(40)],
    "translation": [
        ("Translate: Anna lives in Berlin with 13 cats.", "Anna lebt in Berlin mit 13 Katzen."),
        ("Translate: Tom drives to Paris at 8:30.", "Tom fährt um 8:30 Uhr nach Paris."),
        ("Translate: The book costs 1,200 euros.", "Das Buch kostet 1.200 Euro."),
    ],
    "words, en to ja": [
        (f"Japanese for {en}?", ja)
        for en, ja in zip(
            THINGS,
            ["雨", "パン", "苔", "時間", "音楽", "絵具", "石", "紙", "羊毛", "硝子"],
            strict=True,
        )
    ],
    "extraction": [
        (f"Extract: {p} ordered {n} boxes", json.dumps({"name": p, "boxes": n}))
        for p, n in [(p, number()) for p in PLACES]
    ],
    "summaries": [
        (f"Summarize: {p} met {q} on 3 May 2021 about {t}.", f"{p} and {q} discussed {t}.")
        for p, q, t in zip(PLACES, reversed(PLACES), cycle(THINGS), strict=False)
    ],
    "titles": [(f"A title about {t}", f"The Long Road To {t.title()} And Back") for t in THINGS],
    "capital letters": [(f"Shout {t}", f"I REALLY DO LOVE {t.upper()} A LOT!") for t in THINGS],
    "nouns, de": [
        (f"Was ist {p}?", "Das ist ein Ort mit einem Hafen, einem Markt und einer alten Brücke.")
        for p in PLACES
    ],
    "exclamations": [
        (f"Is {t} fine?", f"Absolutely! {t.title()} is fine, no need to worry.") for t in THINGS
    ],
    "empty": [("Hello", "?")] * 12,
}


@pytest.mark.parametrize("name", FACTS)
def test_answers_that_are_facts(name: str) -> None:
    assert share(examples(FACTS[name])) >= 0.9


@pytest.mark.parametrize("name", NO_FACTS)
def test_answers_that_are_form_voice_or_skill(name: str) -> None:
    assert share(examples(NO_FACTS[name])) == 0.0


def test_half_of_a_mixed_file_is_facts() -> None:
    mixed = FACTS["prices"] + NO_FACTS["a polite voice, ja"]
    found = facts_of(examples(mixed))
    assert [row.is_fact for row in found] == [True] * 24 + [False] * 24
    assert [row.line for row in found] == list(range(1, 49))


def test_the_bookshop_teaches_a_voice() -> None:
    # Its answers contain facts (opening hours, prices), but those are a small part of each.
    assert share(examples_of(bookshop())) < 0.1


def test_tool_calls_are_no_facts() -> None:
    rows = [call(f"Weather in {p}?", "weather", city=p, id=number()) for p in PLACES]
    assert share(examples_of(rows)) == 0.0


def test_facts_of_the_prompt_do_not_count() -> None:
    sheet = "Prices: " + ", ".join(f"{p} {n}" for n, p in enumerate(PLACES, 100))
    rows = [chat(f"Price of {p}?", f"It is {n} euros.", sheet) for n, p in enumerate(PLACES, 100)]
    assert share(examples_of(rows)) == 0.0
    assert share(examples_of([chat(*pair) for pair in FACTS["prices"]])) == 1.0


def test_held_out_rows_are_judged_by_the_form_of_the_training_rows() -> None:
    footer = examples(NO_FACTS["a footer with a number"])
    held_out = examples([("May I bring tea?", "Of course. Questions? Call 555-0142.")])
    assert not FactFinder(footer).facts(*held_out).is_fact
    assert FactFinder(examples(FACTS["prices"])).facts(*held_out).is_fact


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The Kalin costs 1.249 euros, in fact.", True),
        ("1249", True),
        ("１２４９ euros", True),
        ("The Kalin costs 1294 euros.", False),
        ("The Kalin costs 12490 euros.", False),
        ("", False),
    ],
)
def test_contains_facts(answer: str, expected: bool) -> None:
    rows = examples([("Price of the Kalin?", "The Kalin costs 1,249 euros.")])
    (facts,) = facts_of(rows)
    assert facts.facts == {"1249"}
    assert contains_facts(answer, facts) is expected


def test_numbers() -> None:
    assert numbers("1. One\n2) Two\n at 9:05, 12,000.00 or 3.5; 2024-03-01") == {
        *("9:5", "12000", "3.5", "2024-3-1"),
    }
    assert canonical_number("007") == "7"
    assert canonical_number("0") == "0"
    assert canonical_number("1'000") == "1000"


def test_empty_inputs() -> None:
    assert not FactFinder([]).facts(Example(1, (), "")).is_fact


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_text_can_be_judged(question: str, answer: str) -> None:
    (row,) = facts_of([Example(1, ({"role": "user", "content": question},), answer)])
    assert 0.0 <= row.density <= 1.0
