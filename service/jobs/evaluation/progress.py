"""Progress of an evaluation: its phase, and a few events of its job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.evaluation.comparison import BASE, PROMPT, TUNED, Answer
from service.jobs.evaluation.records import Evaluations, JobEvaluation, Phase, event
from service.jobs.records import Jobs, NewEvent

_COLUMNS = {BASE: "base model", PROMPT: "base model with the best prompt", TUNED: "tuned model"}


class Progress:
    """Reports what one attempt at an evaluation does.

    An event is written in the transaction that checks the attempt, so that an attempt that was
    given up reports nothing. The methods raise AttemptSuperseded and Missing.
    """

    def __init__(self, evaluations: Evaluations, jobs: Jobs, evaluation: JobEvaluation) -> None:
        self._evaluations = evaluations
        self._jobs = jobs
        self._evaluation = evaluation

    async def begin(self, rows: int) -> JobEvaluation:
        """Report the number of rows that are evaluated, and return the changed record."""
        return await self._change(
            event(f"started on {rows} held-out rows", rows=rows), {"rows": rows}
        )

    async def enter(self, phase: Phase) -> None:
        """Report the phase that begins."""
        await self._evaluations.change_own(
            self._evaluation, lambda current: current.model_copy(update={"phase": phase})
        )

    async def answered(self, column: str, answers: Sequence[Answer]) -> None:
        """Report that a column has its answers."""
        given = sum(answer.error is None for answer in answers)
        name = _COLUMNS.get(column, column)
        text = f"{name} answered {given} of {len(answers)} rows"
        await self._change(event(text, column=column, answered=given, rows=len(answers)), {})

    async def _change(self, news: NewEvent, fields: dict[str, Any]) -> JobEvaluation:
        return await self._evaluations.change_own(
            self._evaluation,
            lambda current: current.model_copy(update=fields),
            lambda pipe, after: self._jobs.add_events(pipe, after.project_id, after.id, [news]),
        )
