"""Judges and samples for tests of graders."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from service.grading.grade import grade
from service.grading.model_graders import GraderTools, JudgeAnswer, JudgeFailed
from service.grading.results import GraderResult, Sample
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader

GRADER: TypeAdapter[Any] = TypeAdapter(Grader)


class Answers:
    """A judge that gives prepared answers in their order, and keeps the requests."""

    def __init__(self, *answers: str | JudgeFailed) -> None:
        self._answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    async def __call__(
        self, model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
    ) -> JudgeAnswer:
        self.requests.append({"model": model, "messages": messages, **params})
        answer = self._answers.pop(0)
        if isinstance(answer, JudgeFailed):
            raise answer
        return JudgeAnswer(answer, model, total_tokens=10)


async def graded(
    body: dict[str, Any],
    item: dict[str, Any],
    sample: Sample | str | None = None,
    judge: Answers | None = None,
) -> GraderResult:
    """Grade an item by the grader of a JSON body."""
    async with Sandbox() as sandbox:
        tools = GraderTools(judge or Answers(), sandbox)
        given = Sample.from_text(sample) if isinstance(sample, str) else sample
        return await grade(GRADER.validate_python(body), item, given, tools)
