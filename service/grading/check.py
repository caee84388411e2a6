"""Checks a grader's definition before anything is graded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.grading import formula, json_schema, language, tool_call
from service.grading.errors import GraderInvalid
from service.grading.labels import normalize_label
from service.grading.sandbox.modules import SourceInvalid, imported_modules
from service.grading.schemas import (
    ChrfGrader,
    Grader,
    JsonSchemaGrader,
    LabelGrader,
    LabelModelGrader,
    LanguageGrader,
    MultiGrader,
    PythonGrader,
    ScoreModelGrader,
    TextSimilarityGrader,
    ToolCallGrader,
)
from service.grading.templates import TemplateInvalid, check_variables, parse_template

COSINE_NEEDS_MODEL = (
    "The metric 'cosine' compares embeddings. Name a model of this server that creates them "
    "(POST /v1/embeddings), or use another metric."
)


def check(
    grader: Grader, item_schema: Mapping[str, Any] | None = None, *, has_sample: bool = True
) -> None:
    """Check what pydantic cannot: templates, formula, source, labels. Raises GraderInvalid.

    `item_schema` is the JSON Schema of the items, or None if it is unknown. `has_sample` is whether
    there is an answer to grade.
    """
    for param, text in templates(grader):
        try:
            check_variables(text, item_schema, has_sample=has_sample)
        except TemplateInvalid as error:
            raise GraderInvalid(param, str(error)) from error
    _check_threshold(grader)
    match grader:
        case TextSimilarityGrader():
            _check_encoder(grader)
        case PythonGrader():
            _check_source(grader)
        case JsonSchemaGrader():
            _check_schema(grader)
        case LabelModelGrader():
            _check_labels(grader.labels)
        case LabelGrader() | LanguageGrader() | ToolCallGrader():
            _check_reference(grader)
        case MultiGrader():
            _check_multi(grader, item_schema, has_sample=has_sample)
        case _:
            pass


def templates(grader: Grader) -> Iterator[tuple[str, str]]:
    """Yield the templates of a grader, without those of its parts, each with its path."""
    if isinstance(grader, (PythonGrader, MultiGrader)):
        return
    if isinstance(grader, (LabelModelGrader, ScoreModelGrader)):
        for place, message in enumerate(grader.input):
            yield f"input.{place}.content", message.text
        if grader.human_label is not None:
            yield "human_label", grader.human_label
        return
    yield "input", grader.input
    if not isinstance(grader, JsonSchemaGrader):
        yield "reference", grader.reference


def judges(grader: Grader, param: str) -> Iterator[tuple[str, str]]:
    """Yield the models that are asked, each with the path of its name in the grader at `param`."""
    if isinstance(grader, (LabelModelGrader, ScoreModelGrader, TextSimilarityGrader)):
        if grader.model is not None:
            yield f"{param}.model", grader.model
    elif isinstance(grader, MultiGrader):
        for name, part in grader.named.items():
            yield from judges(part, f"{param}.graders.{name}")


def _check_threshold(grader: Grader) -> None:
    match grader:
        case ScoreModelGrader():
            low, high = grader.bounds
        case TextSimilarityGrader() | ChrfGrader() | ToolCallGrader():
            low, high = 0.0, 1.0
        case _:
            return
    threshold = grader.pass_threshold
    if threshold is not None and not low <= threshold <= high:
        raise GraderInvalid(
            "pass_threshold", f"The threshold must be from {low:g} to {high:g}, as the scores are."
        )


def _check_encoder(grader: TextSimilarityGrader) -> None:
    is_cosine = grader.evaluation_metric == "cosine"
    if is_cosine and grader.model is None:
        raise GraderInvalid("model", COSINE_NEEDS_MODEL)
    if grader.model is not None and not is_cosine:
        raise GraderInvalid("model", "Only the metric 'cosine' uses a model. Omit it.")


def _check_source(grader: PythonGrader) -> None:
    try:
        imported_modules(grader.source)
    except SourceInvalid as error:
        raise GraderInvalid("source", str(error)) from error


def _check_schema(grader: JsonSchemaGrader) -> None:
    try:
        json_schema.check_schema(grader.schema_)
    except json_schema.SchemaInvalid as error:
        raise GraderInvalid("schema", str(error)) from error


def _check_labels(labels: list[str]) -> set[str]:
    normalized = {normalize_label(name) for name in labels}
    if len(normalized) < len(labels):
        raise GraderInvalid(
            "labels", "Two labels differ only in case, spaces or surrounding punctuation."
        )
    return normalized


def _check_reference(grader: LabelGrader | LanguageGrader | ToolCallGrader) -> None:
    """Check a reference without variables, which is the same for every item."""
    labels = None
    if isinstance(grader, LabelGrader) and grader.labels is not None:
        labels = _check_labels(grader.labels)
    if any(parse_template(grader.reference).variables):
        return
    try:
        if isinstance(grader, LanguageGrader):
            language.normalize_tag(grader.reference)
        elif isinstance(grader, ToolCallGrader):
            tool_call.parse_calls(grader.reference)
        elif labels is not None and normalize_label(grader.reference) not in labels:
            raise GraderInvalid("reference", "The reference is not one of the labels.")
    except (language.TagInvalid, tool_call.CallsInvalid) as error:
        raise GraderInvalid("reference", str(error)) from error


def _check_multi(
    grader: MultiGrader, item_schema: Mapping[str, Any] | None, *, has_sample: bool
) -> None:
    for name, part in grader.named.items():
        try:
            check(part, item_schema, has_sample=has_sample)
        except GraderInvalid as error:
            raise GraderInvalid(f"graders.{name}.{error.param}", error.message) from error
    try:
        formula.check_formula(grader.calculate_output, grader.named)
    except formula.FormulaInvalid as error:
        raise GraderInvalid("calculate_output", str(error)) from error
