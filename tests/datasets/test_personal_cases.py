"""Tests that the cases with known personal data are what they say, and how they are scored."""

from __future__ import annotations

from tests.datasets.personal_cases.cases import TOPICS, all_cases
from tests.datasets.personal_cases.score import totals


def test_cases_are_the_same_in_each_run_and_have_their_values_in_place() -> None:
    cases = all_cases()
    assert cases == all_cases.__wrapped__()
    assert len({(case.topic, case.group) for case in cases}) >= 60
    for case in cases:
        assert "«" not in "".join(case.turns), case
        assert all(case.turns[one.turn][one.start : one.end].strip() for one in case.truth), case
        assert bool(case.truth) == (case.topic != "clean"), case


def test_every_topic_is_scored() -> None:
    figures = totals()
    assert tuple(figures) == TOPICS
    assert all(n["found"] + n["missed"] == n["values"] for n in figures.values())
    assert figures["clean"]["cases"] >= 1_300
