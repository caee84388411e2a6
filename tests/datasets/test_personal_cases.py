"""Tests that the cases with known personal data are what they say, and how they are scored."""

from __future__ import annotations

import pytest

from service.datasets.personal_data.detect import Signs, find_all, signs_in
from tests.datasets.personal_cases.cases import TOPICS, all_cases
from tests.datasets.personal_cases.score import names_by_language, totals


def test_cases_are_the_same_in_each_run_and_have_their_values_in_place() -> None:
    cases = all_cases()
    assert cases == all_cases.__wrapped__()
    assert len({(case.topic, case.group) for case in cases}) >= 60
    for case in cases:
        assert "«" not in "".join(case.turns), case
        assert all(case.turns[one.turn][one.start : one.end].strip() for one in case.truth), case
        assert bool(case.truth) == (case.topic not in ("clean", "words_like_names")), case


def test_a_row_without_signs_of_a_kind_has_no_data_of_it() -> None:
    for case in all_cases():
        signs = signs_in(case.turns, [case.language])
        every = Signs(*(True,) * len(Signs._fields))._replace(japanese_names=case.language == "ja")
        for text in case.turns:
            found = find_all(text, case.language, signs=signs)
            assert found == find_all(text, case.language, signs=every)


# Most values that may be missed, of each topic: fewer than a fifth of what was missed at first.
MOST_MISSED = {
    "national_ids": 2,
    "phones": 4,
    "secrets_and_passports": 4,
    "names_and_addresses": 4,
    "clean": 0,
}


def test_almost_all_values_are_found_and_almost_no_order_number_is_taken_for_one() -> None:
    figures = totals()
    assert tuple(figures) == TOPICS
    assert {
        topic: figures[topic]["missed"]
        for topic, most in MOST_MISSED.items()
        if figures[topic]["missed"] > most
    } == {}
    assert sum(figures[topic]["false"] for topic in MOST_MISSED) <= 4
    assert figures["clean"]["cases"] >= 1_300


@pytest.mark.parametrize(
    ("language", "share"), [("id", 0.8), ("ko", 0.8), ("th", 0.6), ("vi", 0.8)]
)
def test_names_by_themselves_are_found_and_words_like_names_left_alone(
    language: str, share: float
) -> None:
    figures = names_by_language()[language]
    assert figures["values"] >= 40
    assert figures["found"] >= share * figures["values"]
    assert figures["clean"] >= 200
    assert figures["false"] <= 1
