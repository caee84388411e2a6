"""Summarizes the labels of an evaluation that refer to its current answers, and applies them to its
verdict. Whatever shows a verdict reads it here: the record has that of the measure alone.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from service.core.storage import Storage, StorageMissing
from service.jobs.evaluation.labels.records import TIE, LabelRecord, Labels, current_labels
from service.jobs.evaluation.records import EvaluationStatus, JobEvaluation
from service.jobs.evaluation.results import read_comparison
from service.verdict.comparison import Comparison, Row
from service.verdict.results import HumanReview, Verdict

if TYPE_CHECKING:
    from service.verdict.human_review import LabeledPair


@dataclass(frozen=True)
class Reviewed:
    """An evaluation whose verdict includes what people prefer.

    `labels` are all, also those of earlier answers. `review` is None if there are none, or if the
    evaluation has no report.
    """

    evaluation: JobEvaluation
    labels: Sequence[LabelRecord]
    review: HumanReview | None = None


async def read_reviewed(evaluation: JobEvaluation, labels: Labels, storage: Storage) -> Reviewed:
    """Return the evaluation as people's labels leave it. Reads the report only if there are labels.

    Raises StorageError.
    """
    found = await labels.all(evaluation)
    if evaluation.status is not EvaluationStatus.COMPLETED or not found:
        return Reviewed(evaluation, found)
    try:
        comparison = await read_comparison(storage, evaluation)
    except StorageMissing:
        return Reviewed(evaluation, found)
    return await apply_labels(evaluation, found, comparison)


async def apply_labels(
    evaluation: JobEvaluation, labels: Sequence[LabelRecord], comparison: Comparison
) -> Reviewed:
    """Return a completed evaluation, with this report, as people's labels leave it."""
    if not labels:
        return Reviewed(evaluation, labels)
    review, _ = await review_labels(labels, comparison)
    if evaluation.verdict is not None:
        verdict = await asyncio.to_thread(weighed_verdict, evaluation.verdict, review)
        evaluation = evaluation.model_copy(update={"verdict": verdict})
    return Reviewed(evaluation, labels, review)


async def review_labels(
    labels: Sequence[LabelRecord], comparison: Comparison
) -> tuple[HumanReview, frozenset[str]]:
    """Return what the current labels say, and their IDs."""
    current = current_labels(labels, comparison)
    found = await asyncio.to_thread(_review, comparison, current)
    return found, frozenset(label.id for label, _ in current)


def weighed_verdict(verdict: dict[str, Any], review: HumanReview) -> dict[str, Any]:
    """Return a stored verdict with what people prefer."""
    from service.verdict.human_review import weigh

    found: dict[str, Any] = msgspec.to_builtins(weigh(msgspec.convert(verdict, Verdict), review))
    return found


def disputed(labels: Iterable[LabelRecord]) -> list[LabelRecord]:
    """Return the labels of rows on which reviewers differ, opposite preferences first."""
    by_subject: defaultdict[tuple[str, str, str], list[LabelRecord]] = defaultdict(list)
    for label in labels:
        by_subject[label.subject].append(label)
    differing = [same for same in by_subject.values() if len({label.winner for label in same}) > 1]
    differing.sort(key=lambda same: len({label.winner for label in same} - {TIE}) < 2)
    return [label for same in differing for label in same]


def labeled_pairs(current: Iterable[tuple[LabelRecord, Row]]) -> list[LabeledPair]:
    """Return labels with their rows as the verdict reads them."""
    # Imported here, so that the API starts without numpy.
    from service.verdict.human_review import LabeledPair

    return [
        LabeledPair(
            row, label.compared, None if label.winner == TIE else label.winner, label.reviewer
        )
        for label, row in current
    ]


def _review(comparison: Comparison, current: Sequence[tuple[LabelRecord, Row]]) -> HumanReview:
    from service.verdict.human_review import review

    return review(comparison, labeled_pairs(current))
