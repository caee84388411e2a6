"""Recognizers of a project: patterns and terms that are personal data there."""

from __future__ import annotations

from collections import Counter

import pytest

from service.datasets.personal_data.characters import to_ascii
from service.datasets.personal_data.detect import find_all
from service.datasets.personal_data.kinds import (
    KINDS,
    CustomKinds,
    InvalidPattern,
    Recognizer,
    compile_pattern,
)
from service.datasets.personal_data.national_ids import NATIONAL_IDS
from service.datasets.personal_data.redact import Redactor

NUMBER = Recognizer("customer_number", pattern=r"\bC-\d{6}\b")
TERMS = Recognizer("customer", terms=("Acme Trading", "山田商店", "ร้านสมชาย", "Müller"))


def found(text: str, *recognizers: Recognizer) -> list[tuple[str, str]]:
    places = CustomKinds(recognizers).find(to_ascii(text))
    return [(kind, text[start:end]) for kind, start, end in places]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Customer C-123456 called.", "C-123456"),
        ("お客様番号は Ｃ-１２３４５６ です。", "Ｃ-１２３４５６"),
        ("ลูกค้า C-๑๒๓๔๕๖ ค่ะ", "C-๑๒๓๔๕๖"),
    ],
)
def test_a_pattern_is_found_in_digits_and_letters_of_any_width_and_script(text, value):
    assert found(text, NUMBER) == [("customer_number", value)]


@pytest.mark.parametrize("text", ["C-12345", "AC-123456", "C-1234567"])
def test_a_pattern_is_not_found_in_other_numbers(text):
    assert found(text, NUMBER) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("We asked ACME TRADING about it.", "ACME TRADING"),
        ("株式会社山田商店の件です", "山田商店"),
        ("ติดต่อร้านสมชายได้เลย", "ร้านสมชาย"),
        ("Ask MÜLLER!", "MÜLLER"),
    ],
)
def test_terms_are_found_in_either_case_and_in_scripts_without_spaces(text, value):
    assert found(text, TERMS) == [("customer", value)]


def test_a_term_is_not_found_inside_a_longer_word():
    assert found("Acme Tradings", TERMS) == []


def test_terms_are_not_patterns():
    assert found("a+b axb", Recognizer("code", terms=("a+b", "c.d"))) == [("code", "a+b")]


@pytest.mark.parametrize(
    ("pattern", "reason"), [("(", "missing"), (r"(\d)\1", "escape"), ("a*", "empty text")]
)
def test_a_pattern_that_cannot_be_used_is_refused_with_the_reason(pattern, reason):
    with pytest.raises(InvalidPattern, match=reason):
        compile_pattern(pattern)


def test_a_pattern_that_would_make_a_backtracking_engine_hang_is_fast():
    text = "a" * 100_000
    assert CustomKinds([Recognizer("slow", pattern=r"(a+)+$b|(a|a)*c")]).find(text) is not None
    assert found(text, Recognizer("slow", pattern=r"(a+)+b")) == []


def test_an_email_that_contains_a_term_is_redacted_whole():
    certain = find_all("Write to anna@acme.example", "en", custom=CustomKinds([_acme()])).certain
    assert [one.kind for one in certain] == ["email"]


def test_a_term_has_one_pseudonym_in_all_its_spellings():
    redactor = Redactor("pseudonym", custom=CustomKinds([_acme()]))
    texts = ["Acme called.", "ACME and Ａｃｍｅ again."]
    for text in texts:
        redactor.learn(text, "en")
    counts: Counter[str] = Counter()
    assert [redactor.redact(text, counts) for text in texts] == [
        "[CUSTOMER_1] called.",
        "[CUSTOMER_1] and [CUSTOMER_1] again.",
    ]
    assert counts == {"customer": 3}


@pytest.mark.parametrize("possible", [False, True])
def test_possible_numbers_are_redacted_on_request(possible):
    redactor = Redactor("mask", possible=possible)
    redactor.learn("0812345678", "th")
    text = redactor.redact("0812345678", Counter())
    assert text == ("[PHONE]" if possible else "0812345678")


def test_all_kinds_that_are_detected_are_reserved_names():
    assert {one.kind for one in NATIONAL_IDS} <= KINDS


def _acme() -> Recognizer:
    return Recognizer("customer", terms=("acme",))
