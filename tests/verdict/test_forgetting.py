"""The general set, scores of choices by log probability, and what a model forgot."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from service.datasets.text.languages import detect
from service.verdict.forgetting import (
    LANGUAGES,
    Item,
    general_items,
    score_choices,
    summarize_forgetting,
)


def test_the_likeliest_choice_is_right() -> None:
    found = score_choices([[-0.1, -0.1], [-2.0, -2.0], [-3.0], [-4.0, -4.0, -4.0]])
    assert found.is_right
    assert found.probability == pytest.approx(
        math.exp(-0.1) / sum(math.exp(-mean) for mean in (0.1, 2, 3, 4))
    )
    assert not score_choices([[-2.0], [-0.1], [-3.0], [-3.0]]).is_right


def test_equal_choices_are_a_guess() -> None:
    assert score_choices([[-1.0]] * 4) == (0.25, False)


def test_length_does_not_decide() -> None:
    assert score_choices([[-1.0] * 12, [-1.1]]).is_right
    assert score_choices([[-1.0], [-1.1] * 12]).is_right


def test_impossible_tokens_leave_a_finite_score() -> None:
    impossible = [float("-inf"), float("nan")]
    assert score_choices([impossible, [-1.0]]) == (0.0, False)
    assert score_choices([impossible] * 4) == (0.25, False)
    assert score_choices([[-1.0], impossible]) == (1.0, True)


@pytest.mark.parametrize("logprobs", [[], [[-1.0]], [[-1.0], []]])
def test_choices_without_tokens_are_refused(logprobs: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="needs a token"):
        score_choices(logprobs)


def test_forgetting_by_language_with_an_interval() -> None:
    chosen = general_items(["en", "th"])
    base = [1.0] * 40
    tuned = [1.0] * 20 + [0.0] * 10 + [1.0] * 10
    found = summarize_forgetting(chosen, base, tuned)
    assert found.rows == 40
    assert found.change == pytest.approx(-0.25)
    assert found.low < -0.25 < found.high < 0
    assert [(one.language, one.rows, one.base, one.tuned) for one in found.languages] == [
        ("en", 20, 1.0, 1.0),
        ("th", 20, 1.0, 0.5),
    ]


def test_nothing_forgotten() -> None:
    chosen = general_items(None, 5)
    found = summarize_forgetting(chosen, [0.4] * 60, [0.4] * 60)
    assert found.change == 0
    assert found.low <= 0 <= found.high
    assert len(found.languages) == 12


def test_forgetting_needs_a_score_per_item() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        summarize_forgetting([], [], [])
    with pytest.raises(ValueError, match="zip"):
        summarize_forgetting(general_items(["en"]), [1.0], [1.0])


ALL = general_items()
BY_ID = [pytest.param(item, id=item.id) for item in ALL]
LATIN_TWINS = {"id", "ms"}  # no detector separates them reliably


@pytest.mark.parametrize("item", BY_ID)
def test_choices_differ(item: Item) -> None:
    assert len(set(item.choices)) == 4
    assert all(choice.strip() for choice in item.choices)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_twenty_items_of_five_kinds(language: str) -> None:
    chosen = general_items([language])
    assert len(chosen) == 20
    assert set(Counter(item.kind for item in chosen).values()) == {4}
    for start in range(0, 20, 5):
        assert len({item.kind for item in chosen[start : start + 5]}) == 5
    assert {item.language for item in chosen} == {language}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_prompts_are_in_their_language(language: str) -> None:
    chosen = general_items([language])
    text = " ".join(item.prompt for item in chosen)
    found = {detect(item.prompt).code.partition("-")[0] for item in general_items([language])} - {
        "und"
    }
    expected = LATIN_TWINS if language in LATIN_TWINS else {language}
    assert detect(text).code.partition("-")[0] in expected
    counts = Counter(
        detect(item.prompt).code.partition("-")[0] for item in general_items([language])
    )
    assert sum(counts[code] for code in expected) >= 14, counts
    assert found & expected


def test_ids_and_prompts_are_unique() -> None:
    assert len({item.id for item in ALL}) == len(ALL) == 240
    assert len({item.prompt for item in ALL}) == len(ALL)


def test_items_selects_languages_and_numbers() -> None:
    assert [item.id for item in general_items(["th", "en"], 2)] == [
        "th-01",
        "th-02",
        "en-01",
        "en-02",
    ]
    assert general_items(["fil"]) == general_items(["tl"])
    assert general_items(["zh-Hans"]) == general_items(["zh_TW", "zh"])
    assert general_items(["EN-us"], 1) == general_items(["en"], 1)
    assert general_items(["xx", "und", ""]) == []
    assert general_items([]) == general_items(["en"], 0) == []
    assert general_items(["en"], 99) == general_items(["en"])
    with pytest.raises(ValueError, match="negative"):
        general_items(["en"], -1)


def test_a_few_items_cover_all_kinds() -> None:
    assert len({item.kind for item in general_items(["ja"], 5)}) == 5
