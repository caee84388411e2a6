"""Summarizes the labels of an evaluation that refer to its current answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.jobs.evaluation.labels.records import TIE, LabelRecord, current_labels
from service.verdict.comparison import Comparison, Row
from service.verdict.results import HumanReview


async def review_labels(
    labels: Sequence[LabelRecord], comparison: Comparison
) -> tuple[HumanReview, frozenset[str]]:
    """Return what the current labels say, and their IDs."""
    current = current_labels(labels, comparison)
    found = await asyncio.to_thread(_review, comparison, current)
    return found, frozenset(label.id for label, _ in current)


def _review(comparison: Comparison, current: Sequence[tuple[LabelRecord, Row]]) -> HumanReview:
    # Imported here, so that the API starts without numpy.
    from service.verdict.human_review import LabeledPair, review

    pairs = [
        LabeledPair(
            row, label.compared, None if label.winner == TIE else label.winner, label.reviewer
        )
        for label, row in current
    ]
    return review(comparison, pairs)
