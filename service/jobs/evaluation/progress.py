"""Progress of an evaluation: its phase, and a few events of its job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from redis.asyncio.client import Pipeline

from service.core import metrics
from service.core.attempts import died_while_it
from service.jobs.evaluation.records import (
    EvaluationFailure,
    Evaluations,
    EvaluationStatus,
    GateOutcome,
    JobEvaluation,
    Phase,
)
from service.jobs.records import Jobs, NewEvent
from service.verdict.comparison import BASE, PROMPT, TUNED, Answer
from service.verdict.gate import fault

_CODE = "evaluation"
_COLUMNS = {BASE: "base model", PROMPT: "base model with the best prompt", TUNED: "tuned model"}


class Progress:
    """Reports what one attempt at an evaluation does.

    An event is written in the transaction that checks the attempt, so that an attempt that was
    given up reports nothing. The methods raise EvaluationSuperseded and Missing.
    """

    def __init__(self, evaluations: Evaluations, jobs: Jobs, evaluation: JobEvaluation) -> None:
        self._evaluations = evaluations
        self._jobs = jobs
        self._evaluation = evaluation

    async def begin(self, rows: int) -> JobEvaluation:
        """Report the number of rows that are evaluated, and return the changed record."""
        event = _event(f"started on {rows} held-out rows", rows=rows)
        return await self._change(event, rows=rows)

    async def enter(self, phase: Phase) -> None:
        """Report the phase that begins."""
        await self._evaluations.change(self._evaluation, phase=phase)

    async def answered(self, column: str, answers: Sequence[Answer]) -> None:
        """Report that a column has its answers."""
        given = sum(answer.error is None for answer in answers)
        name = _COLUMNS.get(column, column)
        text = f"{name} answered {given} of {len(answers)} rows"
        await self._change(_event(text, column=column, answered=given, rows=len(answers)))

    async def end(
        self,
        text: str,
        level: Literal["info", "warn"] = "info",
        also: Callable[[Pipeline], Any] | None = None,
        **fields: Any,
    ) -> None:
        """Write the final status, which is among `fields`, with an event.

        The outcome of the job's gate, if it is among `fields`, has an event of its own.
        """
        events = [_event(text, level=level, status=fields["status"])]
        if (gate := fields.get("gate")) is not None:
            events.append(_gate_event(gate))
        await self._change(*events, also=also, **fields)

    async def lose(self, most_lost: int) -> None:
        """Report that the worker died. The next attempt starts, or the evaluation fails."""
        if not self._evaluation.is_hopeless(most_lost):
            await self._evaluations.start_after_loss(self._evaluation)
            return
        message, status = died_while_it("evaluated this job"), EvaluationStatus.FAILED
        failure = EvaluationFailure(code="evaluation_interrupted", message=message)
        await self.end(f"failed: {message}", "warn", status=status, error=failure)
        metrics.JOB_EVALUATIONS.cell(status).inc()

    async def _change(
        self, *events: NewEvent, also: Callable[[Pipeline], Any] | None = None, **fields: Any
    ) -> JobEvaluation:
        def together(pipe: Pipeline) -> None:
            add(pipe)
            if also is not None:
                also(pipe)

        add = partial(
            self._jobs.add_events,
            project_id=self._evaluation.project_id,
            job_id=self._evaluation.id,
            events=events,
        )
        return await self._evaluations.change(self._evaluation, together, **fields)


def _gate_event(gate: GateOutcome) -> NewEvent:
    failed = [fault(one.key, one.condition, one.measured, one.reason) for one in gate.failed]
    if not failed:
        return _event("the gate passed", gate="passed")
    return _event(f"the gate failed: {'; '.join(failed)}", level="warn", gate="failed")


def _event(text: str, level: Literal["info", "warn"] = "info", **data: Any) -> NewEvent:
    return NewEvent(message=f"Evaluation: {text}", level=level, data={"code": _CODE, **data})
