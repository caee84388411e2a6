"""Comparison of two texts by `string_check` graders."""

from __future__ import annotations

from service.grading.schemas import StringCheckGrader


def score(grader: StringCheckGrader, text: str, reference: str) -> float:
    """Return 1.0 if the comparison holds, else 0.0."""
    match grader.operation:
        case "eq":
            holds = text == reference
        case "ne":
            holds = text != reference
        case "like":
            holds = reference in text
        case "ilike":
            holds = reference.casefold() in text.casefold()
    return float(holds)
