"""Scores of the answers, by graders that fit what the answers of the data look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NoReturn

import msgspec

from service.core.tasks import gather
from service.datasets.text.languages import UNKNOWN, detect
from service.grading.default_graders import applies, graders_for, item_of
from service.grading.examples import Example, Row
from service.grading.grade import grade
from service.grading.model_graders import GraderTools, JudgeFailed, PythonRunner
from service.grading.results import Sample
from service.grading.schemas import ChrfGrader, SingleGrader, ToolCallGrader
from service.grading.tool_call import find_written_calls
from service.jobs.evaluation.judging import AnswerJudge
from service.verdict.comparison import Answer, Metric

JUDGE: Final = "judge"
"""Name of the metric of a judge: how often an answer is preferred to the row's own."""

_ON_A_SCALE: Final = (ChrfGrader, ToolCallGrader)


class Scoring:
    """The graders of one evaluation. The first decides the verdict."""

    def __init__(self, rows: Sequence[Row], sandbox: PythonRunner) -> None:
        """Choose graders for all rows of the training and the held-out data."""
        self._graders = graders_for(rows)
        self._tools = GraderTools(judge=_no_judge, sandbox=sandbox)
        self.judge: AnswerJudge | None = None
        """Judge that decides instead of chrF."""

    @property
    def metrics(self) -> list[Metric]:
        """All metrics. The first is primary."""
        found = [_metric(grader) for grader in self._graders]
        if self.judge is not None:
            found.insert(0, Metric(name=JUDGE, kind="continuous"))
        return [msgspec.structs.replace(found[0], primary=True), *found[1:]]

    @property
    def primary(self) -> str:
        """Name of the metric that decides the verdict."""
        return self._graders[0].name if self.judge is None else JUDGE

    @property
    def is_of_text(self) -> bool:
        """Whether answers are compared as texts, for which a judge may decide."""
        return isinstance(self._graders[0], ChrfGrader)

    async def score(self, answers: Sequence[Answer], rows: Sequence[Example]) -> list[Answer]:
        """Return the answers with their scores."""

        async def one(pair: tuple[Answer, Example]) -> Answer:
            return await self._score(*pair)

        return await gather(one, list(zip(answers, rows, strict=True)))

    async def _score(self, answer: Answer, row: Example) -> Answer:
        if answer.error is not None:
            return answer
        # A prompt may show calls in another form than the template's, which no parser expects.
        calls = answer.tool_calls or (find_written_calls(answer.text) if row.tools else [])
        sample = Sample.from_text(answer.text, tool_calls=calls)
        scores: dict[str, float | None] = {}
        passed: bool | None = None
        for grader in self._graders:
            if not applies(grader, row):
                continue
            result = await grade(grader, item_of(row), sample, self._tools)
            if result.errors:
                continue
            scores[grader.name] = result.score
            if grader.name == self.primary and not isinstance(grader, _ON_A_SCALE):
                passed = result.passed
        if self.judge is not None and row.answer.strip():
            scores[JUDGE] = await self.judge.score(row, answer.text)
        return msgspec.structs.replace(answer, scores=scores, passed=passed)


def language_of(text: str) -> str | None:
    """Return the code of a text's language, or None if it is unknown."""
    code = detect(text).code
    return None if code == UNKNOWN else code


def _metric(grader: SingleGrader) -> Metric:
    kind: Literal["continuous", "binary"] = (
        "continuous" if isinstance(grader, _ON_A_SCALE) else "binary"
    )
    return Metric(name=grader.name, kind=kind)


async def _no_judge(
    model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
) -> NoReturn:
    raise JudgeFailed("model_grader_server_error", "An evaluation of a job has no judge.")
