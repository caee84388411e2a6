"""Near duplicates, contradictions, and leakage in files whose truth is known."""

from __future__ import annotations

from tests.datasets.cases.score import scores


def test_reports_find_what_is_known_and_nothing_else() -> None:
    made = {score.topic: score for score in scores()}
    assert sum(score.files for score in made.values()) >= 80
    wrong = {topic: score.wrong for topic, score in made.items() if score.wrong}
    # Too little of a short answer is left to find this question by its likeness.
    assert wrong == {"contradictions": ["en-long-question: missed (3, 4)"]}
