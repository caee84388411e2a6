"""Scores of written answers, right and wrong, as models write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.evaluation.general import items, score
from service.evaluation.general.normalize import contains, folded, plain, trimmed

ITEMS = {item.id: item for item in items()}


RIGHT = [
    ("en-01", "The capital of France is **Paris**."),
    ("en-01", "<think>France… Lyon? No.</think>\nParis"),
    ("en-01", "<think>" + "Lyon? " * 2_000 + "</think>Paris"),
    ("en-02", "7 + 5 = 12"),
    ("en-02", "Twelve."),
    ("en-02", "The answer is １２。"),
    ("en-03", '```json\n{"city": "Oslo"}\n```'),
    ("en-03", '{ "city" : "Oslo" }'),
    ("en-07", "Three books cost $27.00."),
    ("en-08", "**Yes**"),
    ("en-09", "It leaves from platform 2."),
    ("en-13", "3,5,8"),
    ("en-13", "3，5、8。"),
    ("en-18", '"MOON"'),
    ("de-01", "Die Hauptstadt von Italien ist Rom."),
    ("fr-12", "80 − 35 = 45"),
    ("es-08", "sí."),
    ("ja-02", "答えは１５です。"),
    ("ja-02", "十五です。"),
    ("ja-03", '{"色":"赤"}'),
    ("ja-07", "240円です。"),
    ("zh-02", "等于17。"),
    ("zh-02", "十七"),
    ("ko-01", "대한민국의 수도는 서울입니다."),
    ("ko-07", "2,000원입니다."),
    ("th-02", "๑๓"),
    ("th-02", "8 บวก 5 ได้ ๑๓ ครับ"),
    ("th-07", "ต้องจ่าย 90 บาทค่ะ"),
    ("id-07", "Rp15.000,00"),
    ("id-07", "Harganya 15000 rupiah."),
    ("ms-07", "RM16"),
    ("vi-01", "Thủ đô của Việt Nam là Ha\u0300 No\u0323\u0302i."),
    ("tl-02", "Labing-apat"),
    ("tl-07", "dalawampu’t apat na piso"),
]
WRONG = [
    ("en-01", "Paris or Lyon"),
    ("en-01", "Parish"),
    ("en-01", "<think>It is Paris"),
    ("en-02", "112"),
    ("en-02", "12.5"),
    ("en-02", "0.12"),
    ("en-02", "1,012"),
    ("en-03", '{"city": "Oslo", "country": "Norway"}'),
    ("en-03", 'Sure! {"city": "Oslo"}'),
    ("en-03", "{" * 5000),
    ("en-08", "Yes, 9 is greater than 4."),
    ("en-09", "From platform 6, at 9:15."),
    ("en-13", "3 5 8"),
    ("en-13", "3, 5, 8, 9"),
    ("en-18", "Moon"),
    ("ja-02", "二十五"),
    ("ja-08", "いいえ、熱くありません。"),
    ("ja-18", "さくら"),
    ("zh-02", "十七万"),
    ("zh-08", "是"),
    ("zh-18", "好好"),
    ("th-02", "๑๓๐"),
    ("ko-02", "160"),
]


@pytest.mark.parametrize(("item", "text"), RIGHT)
def test_right_answers(item: str, text: str) -> None:
    assert score(ITEMS[item], text) == 1.0


@pytest.mark.parametrize(("item", "text"), WRONG)
def test_wrong_answers(item: str, text: str) -> None:
    assert score(ITEMS[item], text) == 0.0


def test_an_answer_of_any_length_is_scored_quickly() -> None:
    for item in ITEMS.values():
        for text in ("000 " * 1_000_000, "[" * 1_000_000, "a,b," * 500_000, "<think>" * 100_000):
            assert score(item, text) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("１２３", "123"),
        ("๑๒๓", "123"),
        ("१२३", "123"),
        ("٣", "3"),
        ("  a \u200b b\n c ", "a b c"),
        ("**bold** `code`", "bold code"),
        ("Straße", "Straße"),
    ],
)
def test_plain(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234,567", "1234567"),
        ("15.000", "15000"),
        ("1'000", "1000"),
        ("1.234,5", "1234,5"),
        ("3.14", "3.14"),
        ("12.00", "12"),
        ("ＡＢＣ", "abc"),
        ("Straße", "strasse"),
    ],
)
def test_folded(text: str, expected: str) -> None:
    assert folded(text) == expected


def test_trimmed_removes_quotes_and_punctuation_at_the_ends() -> None:
    assert trimmed("「はい」。") == "はい"
    assert trimmed('"Yes!"') == "Yes"
    assert trimmed("...") == ""


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("it is 12.", "12", True),
        ("12個", "12", True),
        ("rm16", "16", True),
        ("120", "12", False),
        ("12.5", "12", False),
        ("12.", "12", True),
        ("catalog", "cat", False),
        ("a cat.", "cat", True),
        ("猫です", "猫", True),
        ("서울입니다", "서울", True),
        ("ครับ13ครับ", "13", True),
        ("二十五", "十五", False),
        ("anything", "", False),
    ],
)
def test_contains(text: str, phrase: str, expected: bool) -> None:
    assert contains(text, phrase) is expected


@settings(deadline=None)
@given(st.sampled_from(sorted(ITEMS)), st.text())
def test_any_text_has_a_score(item: str, text: str) -> None:
    assert score(ITEMS[item], text) in (0.0, 1.0)
