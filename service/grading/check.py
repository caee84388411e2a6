"""Checks of a grader's definition, before anything is graded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.grading.errors import GraderInvalid
from service.grading.schemas import (
    Grader,
    LabelModelGrader,
    MultiGrader,
    PythonGrader,
    ScoreModelGrader,
    TextSimilarityGrader,
)
from service.grading.templates import TemplateInvalid, check_variables


def check(
    grader: Grader, item_schema: Mapping[str, Any] | None = None, *, has_sample: bool = True
) -> None:
    """Check what the schema of a grader cannot: templates, formula, source. Raises GraderInvalid.

    `item_schema` is the JSON Schema of the items, or None if it is unknown. `has_sample` is whether
    there is an answer to grade.
    """
    for param, text in templates(grader):
        try:
            check_variables(text, item_schema, has_sample=has_sample)
        except TemplateInvalid as error:
            raise GraderInvalid(param, str(error)) from error
    if isinstance(grader, TextSimilarityGrader) and grader.evaluation_metric == "cosine":
        raise GraderInvalid(
            "evaluation_metric",
            "The metric 'cosine' needs an encoder model, and the catalog has none. Use "
            "'fuzzy_match' or another metric.",
        )
    if isinstance(grader, MultiGrader):
        for name, part in grader.named.items():
            _check_part(name, part, item_schema, has_sample=has_sample)


def templates(grader: Grader) -> Iterator[tuple[str, str]]:
    """Yield the templates of a grader, without those of its parts, each with its path."""
    if isinstance(grader, (PythonGrader, MultiGrader)):
        return
    if isinstance(grader, (LabelModelGrader, ScoreModelGrader)):
        for place, message in enumerate(grader.input):
            yield f"input.{place}.content", message.text
        return
    yield "input", grader.input
    reference = getattr(grader, "reference", None)
    if isinstance(reference, str):
        yield "reference", reference


def _check_part(
    name: str, part: Grader, item_schema: Mapping[str, Any] | None, *, has_sample: bool
) -> None:
    try:
        check(part, item_schema, has_sample=has_sample)
    except GraderInvalid as error:
        raise GraderInvalid(f"graders.{name}.{error.param}", error.message) from error
