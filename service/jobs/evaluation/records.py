"""Redis records of the evaluations of finished jobs.

    finetuned:{project}:job-evaluations:{job}   the evaluation of a job
    finetuned:job-evaluations-unfinished        "project/job" of those that have not ended
    finetuned:{project}:job-evaluations:{job}:labels   see labels/records.py

What an evaluation measured is stored below the adapter's folder, so it is deleted with the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, Self

from redis.asyncio.client import Pipeline

from service.core import ids, metrics, queue
from service.core.records import PREFIX, Stored
from service.core.redis import Client
from service.jobs.records import Jobs, NewEvent
from service.verdict.comparison import BASE, PROMPT, TUNED, Answer
from service.verdict.gate import describe_fault
from service.work.records import Kind, RestartedRecord, WorkError
from service.work.store import WorkStore

_CODE = "evaluation"
_SUBJECT = "evaluation:"
REPORT_FILE = "comparison.json"
"""What an evaluation measured. Other formats are rendered from it."""


class EvaluationStatus(StrEnum):
    """Status of the evaluation of a job."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Phase(StrEnum):
    """Current step of an evaluation."""

    WAITING = "waiting"
    SCORING = "scoring_references"
    PROMPTS = "choosing_a_prompt"
    ANSWERS = "answering"
    MEMORIZATION = "memorization"
    FORGETTING = "forgetting"


class GateFault(Stored):
    """A condition of a job's gate that its evaluation does not meet.

    `measured` is None if the figure was not measured; `reason` then explains it.
    """

    key: str
    condition: str
    measured: float | str | None = None
    reason: str | None = None


class GateOutcome(Stored):
    """Outcome of a job's gate. `failed` are the conditions that the figures do not meet."""

    conditions: dict[str, str]
    failed: tuple[GateFault, ...]


class JobEvaluation(RestartedRecord):
    """The evaluation of one job. `id` is the job's ID."""

    work = Kind(
        noun="evaluation",
        collection="job-evaluations",
        function="evaluate_job",
        lane=queue.EVALS,
        id_prefix=ids.JOB,
        doing="evaluated this job",
        interrupted="evaluation_interrupted",
        gauge=metrics.JOB_EVALUATIONS_UNFINISHED,
    )
    final = frozenset(
        {EvaluationStatus.COMPLETED, EvaluationStatus.FAILED, EvaluationStatus.SKIPPED}
    )
    failed = EvaluationStatus.FAILED

    model: str
    artifact: str
    status: EvaluationStatus = EvaluationStatus.IN_PROGRESS
    phase: Phase = Phase.WAITING
    rows: int | None = None
    baseline_prompt: str | None = None  # instead of that of the job
    error: WorkError | None = None
    verdict: dict[str, Any] | None = None
    figures: dict[str, float | str] | None = None  # by the key of a gate
    gate: GateOutcome | None = None  # of the job's gate
    finished_at: int | None = None

    @property
    def subject(self) -> str:
        """Name of the evaluation in the queue and in leases, distinct from the job's own."""
        return _SUBJECT + self.id

    @property
    def folder(self) -> str:
        """Storage folder of the evaluation's files, below the adapter's."""
        return f"{self.artifact}/evaluation"

    def key(self, name: str) -> str:
        """Return the storage key of one of the evaluation's files."""
        return f"{self.folder}/{name}"

    def next_attempt(self, **fields: Any) -> Self:
        """Return the record with the next attempt. Columns that are finished are kept."""
        again = {"status": EvaluationStatus.IN_PROGRESS, "phase": Phase.WAITING}
        return super().next_attempt(**again, error=None, finished_at=None, **fields)


def job_of(subject: str) -> str:
    """Return the job ID in the name of an evaluation in the queue."""
    return subject.removeprefix(_SUBJECT)


def labels_key(project_id: str, job_id: str) -> str:
    """Return the Redis key of an evaluation's labels. They are deleted with it, or its model."""
    return f"{PREFIX}:{project_id}:job-evaluations:{job_id}:labels"


class Evaluations(WorkStore[JobEvaluation]):
    """The evaluations of all jobs, by project. The end of one adds events to its job."""

    record = JobEvaluation

    def __init__(self, redis: Client) -> None:
        super().__init__(redis)
        self._jobs = Jobs(redis)

    async def find(self, project_id: str, subject: str) -> JobEvaluation | None:
        """Return the evaluation with this name in the queue, or None."""
        return await self.records.get(project_id, job_of(subject))

    async def lose(self, own: JobEvaluation, most_lost: int) -> JobEvaluation:
        """Enqueue the next attempt after the worker died, or give up."""
        after = await super().lose(own, most_lost)
        if after.is_final:
            metrics.JOB_EVALUATIONS.cell(after.status).inc()
        return after

    def _on_ended(self, pipe: Pipeline, record: JobEvaluation) -> None:
        super()._on_ended(pipe, record)
        self._jobs.add_events(pipe, record.project_id, record.id, _events_of_end(record))

    def _on_deleted(self, pipe: Pipeline, record: JobEvaluation) -> None:
        super()._on_deleted(pipe, record)
        pipe.delete(labels_key(record.project_id, record.id))


def event(text: str, level: Literal["info", "warn"] = "info", **data: Any) -> NewEvent:
    """Return an event of a job about its evaluation."""
    return NewEvent(message=f"Evaluation: {text}", level=level, data={"code": _CODE, **data})


def _events_of_end(record: JobEvaluation) -> list[NewEvent]:
    text = "completed" if record.verdict is None else record.verdict["sentence"]
    if record.error is not None:
        text = f"{record.status}: {record.error.message}"
    is_failed = record.status is EvaluationStatus.FAILED
    events = [event(text, "warn" if is_failed else "info", status=record.status)]
    # An evaluation that was started again still has the outcome of the one before.
    if record.status is EvaluationStatus.COMPLETED and record.gate is not None:
        events.append(_gate_event(record.gate))
    return events


def _gate_event(gate: GateOutcome) -> NewEvent:
    failed = [
        describe_fault(one.key, one.condition, one.measured, one.reason) for one in gate.failed
    ]
    if not failed:
        return event("the gate passed", gate="passed")
    return event(f"the gate failed: {'; '.join(failed)}", level="warn", gate="failed")


_COLUMNS = {BASE: "base model", PROMPT: "base model with the best prompt", TUNED: "tuned model"}


class ProgressReporter:
    """Reports the progress of one attempt at an evaluation as events of its job.

    An event is written in the transaction that checks the attempt, so that a superseded attempt
    reports nothing. The methods raise AttemptSuperseded and Missing.
    """

    def __init__(self, evaluations: Evaluations, jobs: Jobs, evaluation: JobEvaluation) -> None:
        self._evaluations = evaluations
        self._jobs = jobs
        self._evaluation = evaluation

    async def begin(self, rows: int) -> JobEvaluation:
        """Report the number of rows that are evaluated, and return the changed record."""
        return await self._report(event(f"started on {rows} held-out rows", rows=rows), rows=rows)

    async def enter(self, phase: Phase) -> None:
        """Set the current phase."""
        await self._evaluations.change_own(
            self._evaluation, lambda current: current.model_copy(update={"phase": phase})
        )

    async def report_answers(self, column: str, answers: Sequence[Answer]) -> None:
        """Report that a column has its answers."""
        given = sum(answer.error is None for answer in answers)
        name = _COLUMNS.get(column, column)
        text = f"{name} answered {given} of {len(answers)} rows"
        await self._report(event(text, column=column, answered=given, rows=len(answers)))

    async def _report(self, news: NewEvent, **fields: Any) -> JobEvaluation:
        return await self._evaluations.change_own(
            self._evaluation,
            lambda current: current.model_copy(update=fields),
            lambda pipe, after: self._jobs.add_events(pipe, after.project_id, after.id, [news]),
        )
