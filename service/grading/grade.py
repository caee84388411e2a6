"""Grading of one item: `await grade(grader, item, sample, tools)`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from service.grading import string_check
from service.grading.check import check
from service.grading.errors import GraderError, GraderInvalid, ItemFailed
from service.grading.judges import GraderTools, Judge, JudgeAnswer, JudgeFailed, PythonRunner
from service.grading.results import GraderResult, LabelPair, threshold
from service.grading.samples import Sample
from service.grading.schemas import Grader, StringCheckGrader
from service.grading.templates import parse

__all__ = [
    "GraderError",
    "GraderInvalid",
    "GraderResult",
    "GraderTools",
    "Judge",
    "JudgeAnswer",
    "JudgeFailed",
    "LabelPair",
    "PythonRunner",
    "Sample",
    "check",
    "grade",
]


async def grade(
    grader: Grader, item: dict[str, Any], sample: Sample | None, tools: GraderTools
) -> GraderResult:
    """Grade one item. A failure is an error in the result, and never raised."""
    started = time.monotonic()
    scope: dict[str, Any] = {"item": item}
    if sample is not None:
        scope["sample"] = sample.scope()
    try:
        result = await _grade(grader, scope, tools)
    except ItemFailed as failure:
        result = GraderResult(0.0, passed=False, errors=(failure.error,))
    return replace(result, duration_s=time.monotonic() - started)


async def _grade(grader: Grader, scope: dict[str, Any], tools: GraderTools) -> GraderResult:
    match grader:
        case StringCheckGrader():
            text, reference = _render(grader.input, scope), _render(grader.reference, scope)
            return _scored(grader, string_check.score(grader, text, reference))
        case _:
            raise ItemFailed("other_error", f"Graders of type '{grader.type}' are not available.")


def _scored(grader: Grader, score: float) -> GraderResult:
    return GraderResult(score, passed=score >= threshold(grader))


def _render(text: str, scope: dict[str, Any]) -> str:
    return parse(text).render(scope)
