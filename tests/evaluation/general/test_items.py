"""The general set itself: complete, and in the right languages."""

from __future__ import annotations

from collections import Counter

import pytest

from service.datasets.text.languages import detect
from service.evaluation.general import LANGUAGES, Item, items

ALL = items()
BY_ID = [pytest.param(item, id=item.id) for item in ALL]
LATIN_TWINS = {"id", "ms"}  # no detector separates them reliably


@pytest.mark.parametrize("item", BY_ID)
def test_choices_differ(item: Item) -> None:
    assert len(set(item.choices)) == 4
    assert all(choice.strip() for choice in item.choices)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_twenty_items_of_five_kinds(language: str) -> None:
    chosen = items([language])
    assert len(chosen) == 20
    assert set(Counter(item.kind for item in chosen).values()) == {4}
    for start in range(0, 20, 5):
        assert len({item.kind for item in chosen[start : start + 5]}) == 5
    assert {item.language for item in chosen} == {language}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_prompts_are_in_their_language(language: str) -> None:
    text = " ".join(item.prompt for item in items([language]))
    found = {detect(item.prompt).code.partition("-")[0] for item in items([language])} - {"und"}
    expected = LATIN_TWINS if language in LATIN_TWINS else {language}
    assert detect(text).code.partition("-")[0] in expected
    counts = Counter(detect(item.prompt).code.partition("-")[0] for item in items([language]))
    assert sum(counts[code] for code in expected) >= 14, counts
    assert found & expected


def test_ids_and_prompts_are_unique() -> None:
    assert len({item.id for item in ALL}) == len(ALL) == 240
    assert len({item.prompt for item in ALL}) == len(ALL)


def test_items_selects_languages_and_numbers() -> None:
    assert [item.id for item in items(["th", "en"], 2)] == ["th-01", "th-02", "en-01", "en-02"]
    assert items(["fil"]) == items(["tl"])
    assert items(["zh-Hans"]) == items(["zh_TW", "zh"])
    assert items(["EN-us"], 1) == items(["en"], 1)
    assert items(["xx", "und", ""]) == []
    assert items([]) == items(["en"], 0) == []
    assert items(["en"], 99) == items(["en"])
    with pytest.raises(ValueError, match="negative"):
        items(["en"], -1)


def test_a_few_items_cover_all_kinds() -> None:
    assert len({item.kind for item in items(["ja"], 5)}) == 5
