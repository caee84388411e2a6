"""Scores of choices by log probability, and what a training made a model forget."""

from __future__ import annotations

import math

import pytest

from service.evaluation.general import forgetting, items, score_choices


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
    chosen = items(["en", "th"])
    base = [1.0] * 40
    tuned = [1.0] * 20 + [0.0] * 10 + [1.0] * 10
    found = forgetting(chosen, base, tuned)
    assert found.rows == 40
    assert found.change == pytest.approx(-0.25)
    assert found.low < -0.25 < found.high < 0
    assert [(one.language, one.rows, one.base, one.tuned) for one in found.languages] == [
        ("en", 20, 1.0, 1.0),
        ("th", 20, 1.0, 0.5),
    ]


def test_nothing_forgotten() -> None:
    chosen = items(None, 5)
    found = forgetting(chosen, [0.4] * 60, [0.4] * 60)
    assert found.change == 0
    assert found.low <= 0 <= found.high
    assert len(found.languages) == 12


def test_forgetting_needs_a_score_per_item() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        forgetting([], [], [])
    with pytest.raises(ValueError, match="zip"):
        forgetting(items(["en"]), [1.0], [1.0])
