"""Units and terms of texts in scripts with and without spaces."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.datasets.text.segments import terms, units, worth


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't PANIC, reader!", ["don", "t", "panic", "reader"]),
        ("Tiếng Việt có dấu", ["tiếng", "việt", "có", "dấu"]),
        ("हिन्दी में शब्द", ["हिन्दी", "में", "शब्द"]),
        ("தமிழ் சொல்", ["தமிழ்", "சொல்"]),
        ("서울은 12개", ["서울은", "12개"]),
        ("東京は雨。", ["東", "京", "は", "雨"]),
        ("タワー", ["タ", "ワ", "ー"]),
        ("กินข้าว", ["กิ", "น", "ข้", "า", "ว"]),
        ("๑๒๓ ＡＢＣ　４５６", ["123", "abc", "456"]),
        ("iPhone15は高い", ["iphone15", "は", "高", "い"]),
        ("", []),
        ("…!?　", []),
    ],
)
def test_units(text: str, expected: list[str]) -> None:
    assert units(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat the", ["the", "cat", "the"]),
        ("東京都", ["東京", "京都", "東", "京", "都"]),
        ("水を", ["水を", "水"]),
        ("水", ["水"]),
        ("서울은", ["서울", "울은"]),
        ("ภาษาไทย", ["ภาษ", "าษา", "ษาไ", "าไท", "ไทย"]),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_spelling_does_not_matter() -> None:
    decomposed = unicodedata.normalize("NFD", "Tiếng Việt")
    assert units(decomposed) == units("TIẾNG VIỆT")
    assert units("น้ำ") == units(unicodedata.normalize("NFKC", "น้ำ"))


@pytest.mark.parametrize(
    "texts",
    [
        # The same sentence. A unit's worth makes lengths comparable across scripts.
        (
            "The train to the north leaves at eight in the morning from platform two",
            "北行きの列車は朝八時に二番線から出発します",
            "รถไฟสายเหนือออกเวลาแปดโมงเช้าที่ชานชาลาสอง",
            "开往北方的火车早上八点从二号站台出发",
        )
    ],
)
def test_lengths_in_words_are_comparable(texts: tuple[str, ...]) -> None:
    lengths = [sum(map(worth, units(text))) for text in texts]
    assert max(lengths) < 2 * min(lengths)


@settings(deadline=None)
@given(st.text())
def test_any_text_has_units_without_spaces(text: str) -> None:
    for unit in [*units(text), *terms(text)]:
        assert unit
        assert not any(char.isspace() for char in unit)
    assert (not units(text)) == (not terms(text))
