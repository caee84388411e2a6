"""Rewards of answers, by the grader of the job."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from service.core import metrics
from service.core.tasks import gather
from service.grading.grade import grade
from service.grading.model_graders import GraderTools
from service.grading.results import Sample
from service.grading.schemas import Grader
from service.grading.tool_call import find_written_calls
from service.jobs.attempt.reinforcement.rows import Rows
from service.thoughts import take_out
from service.training.contract.samples import Answer

_AT_ONCE: Final = 32
_THOUGHT_BEGINS, _THOUGHT_ENDS = "<think>", "</think>"
_NOT_FINITE: Final = "other_error"


@dataclass(frozen=True)
class Graded:
    """Answers with their rewards, and the number of failures by the code of the error."""

    answers: list[Answer]
    errors: Counter[str]

    @property
    def all_failed(self) -> bool:
        """Whether no answer has a reward."""
        return sum(self.errors.values()) == len(self.answers) > 0


class Rewards:
    """Grades the answers of a run.

    Of a model that thinks, the grader sees the answer without the thought, as it would in the
    engine's responses. `tools` are made for each answer.
    """

    def __init__(self, grader: Grader, rows: Rows, tools: Callable[[], GraderTools]) -> None:
        self._grader = grader
        self._rows = rows
        self._tools = tools
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def grade(self, answers: Sequence[Answer]) -> Graded:
        """Return the answers with their rewards. A failure is an answer without one."""
        graded = await gather(self._one, answers)
        errors = Counter(answer.grader_error for answer in graded if answer.grader_error)
        failed = sum(errors.values())
        metrics.REINFORCEMENT_ANSWERS.cell("graded").inc(len(graded) - failed)
        metrics.REINFORCEMENT_ANSWERS.cell("failed").inc(failed)
        return Graded(graded, errors)

    async def _one(self, answer: Answer) -> Answer:
        async with self._slots:
            row = self._rows[answer]
            said = _said(answer.text)
            sample = Sample.from_text(
                said,
                tool_calls=(find_written_calls(said) or None) if row.has_tools else None,
                finish_reason=answer.finish_reason,
            )
            result = await grade(self._grader, row.item, sample, self._tools())
        error = result.errors[0].code if result.errors else None
        if error is None and not math.isfinite(result.score):
            error = _NOT_FINITE
        reward = None if error else result.score
        return answer.model_copy(update={"reward": reward, "grader_error": error})


def _said(text: str) -> str:
    """Return an answer without the thought before it. Some prompts begin the thought already."""
    if _THOUGHT_ENDS not in text:
        return "" if text.lstrip().startswith(_THOUGHT_BEGINS) else text
    if _THOUGHT_BEGINS not in text:
        return text.partition(_THOUGHT_ENDS)[2].lstrip()
    return take_out(text)[1]
