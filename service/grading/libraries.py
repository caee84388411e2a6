"""Libraries that graders need and that only the worker installs."""

from __future__ import annotations

import importlib.util

from service.grading.schemas import (
    ChrfGrader,
    Grader,
    LanguageGrader,
    MultiGrader,
    TextSimilarityGrader,
)


def missing_library(grader: Grader) -> str | None:
    """Return a library that the grader needs and this process lacks, or None."""
    for library in _libraries(grader):
        if importlib.util.find_spec(library) is None:
            return library
    return None


def _libraries(grader: Grader) -> set[str]:
    match grader:
        case MultiGrader():
            return {name for part in grader.named.values() for name in _libraries(part)}
        case TextSimilarityGrader(evaluation_metric="bleu") | ChrfGrader():
            return {"sacrebleu"}
        case TextSimilarityGrader(evaluation_metric="gleu" | "meteor"):
            return {"nltk"}
        case TextSimilarityGrader(evaluation_metric="fuzzy_match" | "rouge_l"):
            return {"rapidfuzz"}
        case LanguageGrader():
            return {"numpy", "py3langid"}
        case _:
            return set()
