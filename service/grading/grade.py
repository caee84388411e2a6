"""Grades one item: `await grade(grader, item, sample, tools)`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any

from service.grading import (
    formula,
    json_schema,
    language,
    model_graders,
    text_similarity,
    tool_call,
)
from service.grading.check import COSINE_NEEDS_MODEL
from service.grading.errors import GraderError, ItemFailed
from service.grading.labels import compare_labels, parse_human_label, pass_label
from service.grading.model_graders import GraderTools
from service.grading.results import GraderResult, LabelPair, Sample, pass_threshold
from service.grading.schemas import (
    ChrfGrader,
    Grader,
    GraderMessage,
    JsonSchemaGrader,
    LabelGrader,
    LabelModelGrader,
    LanguageGrader,
    MultiGrader,
    PythonGrader,
    ScoreModelGrader,
    StringCheckGrader,
    TextSimilarityGrader,
    ToolCallGrader,
)
from service.grading.templates import TemplateInvalid, VariableMissing, parse_template


def compare_texts(grader: StringCheckGrader, text: str, reference: str) -> float:
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


async def grade(
    grader: Grader, item: dict[str, Any], sample: Sample | None, tools: GraderTools
) -> GraderResult:
    """Grade one item. A failure is returned as an error in the result.

    Exceptions of `tools` other than ItemFailed pass through.
    """
    started = time.monotonic()
    scope: dict[str, Any] = {"item": item}
    if sample is not None:
        scope["sample"] = sample.scope()
    try:
        result = await _Item(scope, tools).grade(grader)
    except ItemFailed as failure:
        result = GraderResult(0.0, passed=False, errors=(failure.error,))
    return replace(result, duration_s=time.monotonic() - started)


@dataclass(frozen=True)
class _Item:
    """An item and its sample as namespaces of templates, and the tools of graders."""

    scope: dict[str, Any]
    tools: GraderTools

    async def grade(self, grader: Grader) -> GraderResult:
        """Grade the item. Raises ItemFailed."""
        match grader:
            case LabelModelGrader() | ScoreModelGrader():
                return await self._judge(grader)
            case MultiGrader():
                return await self._combine(grader)
            case LabelGrader():
                pair = compare_labels(
                    self._render(grader.input), self._render(grader.reference), grader.labels
                )
                score = float(pair.given == pair.expected)
                return replace(_result(grader, score), labels=pair)
            case PythonGrader():
                sample = self.scope.get("sample")
                given = None if sample is None else {"output_json": None, **sample}
                score = await self.tools.sandbox.grade(grader.source, given, self.scope["item"])
                return _result(grader, score)
            case JsonSchemaGrader():
                text = self._render(grader.input)
                return _result(
                    grader, await json_schema.score(grader.schema_, text, self.tools.sandbox)
                )
            case TextSimilarityGrader(model=str(model)):
                return await self._compare_embeddings(grader, model)
            case StringCheckGrader():
                return _result(grader, compare_texts(grader, *self._pair(grader)))
            case _:
                # In a thread, since long texts take up to a second.
                text, reference = self._pair(grader)
                score = await asyncio.to_thread(_compare, grader, text, reference)
                return _result(grader, score)

    async def _compare_embeddings(self, grader: TextSimilarityGrader, model: str) -> GraderResult:
        if self.tools.embed is None:
            raise ItemFailed("other_error", "The metric 'cosine' cannot be used here.")
        texts = self._pair(grader)
        if not all(text.strip() for text in texts):
            return _result(grader, float(texts[0].strip() == texts[1].strip()))
        embedded = await self.tools.embed(model, texts)
        ours, theirs = (each.embedding for each in embedded.data)
        score = text_similarity.cosine(ours, theirs)
        tokens = {model: embedded.usage.total_tokens}
        return replace(_result(grader, score), tokens=tokens)

    async def _judge(self, grader: LabelModelGrader | ScoreModelGrader) -> GraderResult:
        messages = [self._message(message) for message in grader.input]
        human = parse_human_label(grader, self._human_label(grader))
        if isinstance(grader, LabelModelGrader):
            given, answer = await model_graders.label(grader, messages, self.tools.judge)
            score = float(given in grader.passing_labels)
        else:
            score, answer = await model_graders.score(grader, messages, self.tools.judge)
            given = pass_label(grader, score)
        return replace(
            _result(grader, score),
            sample={"output_text": answer.text, "model": answer.model},
            tokens={answer.model: answer.total_tokens},
            labels=None if human is None else LabelPair(human, given),
        )

    def _human_label(self, grader: LabelModelGrader | ScoreModelGrader) -> str:
        """Return a person's judgment of the item; empty if nobody judged it."""
        if grader.human_label is None:
            return ""
        try:
            return parse_template(grader.human_label).render(self.scope)
        except VariableMissing:
            return ""
        except TemplateInvalid as error:
            raise ItemFailed("invalid_variable_error", str(error)) from error

    async def _combine(self, grader: MultiGrader) -> GraderResult:
        names = list(grader.named)
        tasks = [asyncio.create_task(self._part(part)) for part in grader.named.values()]
        try:
            parts = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()  # of those that have not ended, if one raised
        scores = {name: part.score for name, part in zip(names, parts, strict=True)}
        tokens: dict[str, int] = {}
        for part in parts:
            for model, count in part.tokens.items():
                tokens[model] = tokens.get(model, 0) + count
        errors = tuple(
            GraderError(error.code, f"{name}: {error.message}")
            for name, part in zip(names, parts, strict=True)
            for error in part.errors
        )
        result = GraderResult(0.0, passed=False, errors=errors, sub_scores=scores, tokens=tokens)
        if errors:
            return result
        try:
            score = formula.evaluate(grader.calculate_output, scores)
        except ItemFailed as failure:
            return replace(result, errors=(failure.error,))
        return replace(result, score=score, passed=score >= pass_threshold(grader))

    async def _part(self, grader: Grader) -> GraderResult:
        try:
            return await self.grade(grader)
        except ItemFailed as failure:
            return GraderResult(0.0, passed=False, errors=(failure.error,))

    def _pair(
        self,
        grader: StringCheckGrader
        | TextSimilarityGrader
        | ChrfGrader
        | ToolCallGrader
        | LanguageGrader,
    ) -> tuple[str, str]:
        return self._render(grader.input), self._render(grader.reference)

    def _message(self, message: GraderMessage) -> dict[str, Any]:
        return {"role": message.role, "content": self._render(message.text)}

    def _render(self, text: str) -> str:
        try:
            return parse_template(text).render(self.scope)
        except TemplateInvalid as error:
            raise ItemFailed("invalid_variable_error", str(error)) from error


def _compare(
    grader: TextSimilarityGrader | ChrfGrader | ToolCallGrader | LanguageGrader,
    text: str,
    reference: str,
) -> float:
    match grader:
        case TextSimilarityGrader():
            if grader.evaluation_metric == "cosine":
                raise ItemFailed("other_error", COSINE_NEEDS_MODEL)
            return text_similarity.similarity(grader.evaluation_metric, text, reference)
        case ChrfGrader():
            return text_similarity.chrf(text, reference)
        case ToolCallGrader():
            return tool_call.score(text, reference)
        case LanguageGrader():
            return language.language_score(text, reference)


def _result(grader: Grader, score: float) -> GraderResult:
    return GraderResult(score, passed=score >= pass_threshold(grader))
