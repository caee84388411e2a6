"""Redis records of the evaluations of finished jobs.

    finetuned:{project}:job-evaluations:{job}   the evaluation of a job
    finetuned:job-evaluations-unfinished        "project/job" of those that have not ended

What an evaluation measured is stored below the adapter's folder, so it is deleted with the model.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from redis.asyncio.client import Pipeline

from service.core import ids, queue
from service.core.attempts import AttemptedRecord
from service.core.records import PREFIX, Collection, Stored
from service.core.redis import Client
from service.core.unfinished import read_unfinished

FUNCTION = "evaluate_job"  # the task's name in the queue of evals
UNFINISHED = f"{PREFIX}:job-evaluations-unfinished"
_SUBJECT = "evaluation:"
FORMS = {"json": "comparison.json", "html": "report.html", "md": "report.md"}


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


class EvaluationFailure(Stored):
    """Reason why an evaluation failed or was skipped."""

    code: str
    message: str


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


class JobEvaluation(AttemptedRecord):
    """The evaluation of one job. `id` is the job's ID."""

    model: str
    artifact: str
    status: EvaluationStatus = EvaluationStatus.IN_PROGRESS
    phase: Phase = Phase.WAITING
    rows: int | None = None
    baseline_prompt: str | None = None  # instead of that of the job
    error: EvaluationFailure | None = None
    verdict: dict[str, Any] | None = None
    figures: dict[str, float | str] | None = None  # by the key of a gate
    gate: GateOutcome | None = None  # of the job's gate
    finished_at: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether the evaluation has a final status."""
        return self.status is not EvaluationStatus.IN_PROGRESS

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


class EvaluationSuperseded(Exception):
    """The evaluation has ended, or another attempt runs it."""


def job_of(subject: str) -> str:
    """Return the job ID in the name of an evaluation in the queue."""
    return subject.removeprefix(_SUBJECT)


class Evaluations:
    """The evaluations of all jobs, by project."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "job-evaluations", JobEvaluation)

    def add(self, pipe: Pipeline, evaluation: JobEvaluation) -> None:
        """Add a new evaluation to the transaction that ends its job."""
        self.records.add(pipe, evaluation)
        pipe.sadd(UNFINISHED, _member(evaluation))

    async def get(self, project_id: str, job_id: str) -> JobEvaluation | None:
        """Return the evaluation of the project's job, or None."""
        return await self.records.get(project_id, job_id)

    async def enqueue(self, evaluation: JobEvaluation) -> None:
        """Enqueue the evaluation's attempt unless it is already queued."""
        await queue.enqueue(
            self.redis,
            queue.EVALS,
            FUNCTION,
            evaluation.project_id,
            evaluation.subject,
            evaluation.attempt,
        )

    async def change(
        self,
        evaluation: JobEvaluation,
        also: Callable[[Pipeline], Any] | None = None,
        **fields: Any,
    ) -> JobEvaluation:
        """Change fields of an evaluation that this attempt still runs.

        A status other than `in_progress` ends it. Raises EvaluationSuperseded and Missing.
        """

        def change(current: JobEvaluation) -> JobEvaluation:
            if current.is_final or not current.is_attempt_of(evaluation):
                raise EvaluationSuperseded(evaluation.id)
            after = current.model_copy(update=fields)
            finished_at = ids.now_s() if after.is_final else None
            return after.model_copy(update={"finished_at": finished_at})

        def together(pipe: Pipeline, after: JobEvaluation) -> None:
            if after.is_final:
                pipe.srem(UNFINISHED, _member(after))
            if also is not None:
                also(pipe)

        return await self.records.update(
            evaluation.project_id, evaluation.id, change, also=together
        )

    async def delete(self, evaluation: JobEvaluation) -> None:
        """Delete the record of an evaluation. Its worker stops."""

        def also(pipe: Pipeline) -> None:
            pipe.srem(UNFINISHED, _member(evaluation))

        await self.records.delete(evaluation.project_id, evaluation.id, also=also)

    async def restart(
        self, evaluation: JobEvaluation, baseline_prompt: str | None = None
    ) -> JobEvaluation:
        """Start an evaluation again that has ended. Raises Missing.

        A prompt of the user's replaces an earlier one.
        """
        prompt = baseline_prompt or evaluation.baseline_prompt
        return await self._start_next(evaluation, lost_attempts=0, baseline_prompt=prompt)

    async def hand_back(self, evaluation: JobEvaluation) -> None:
        """Start the next attempt of an evaluation whose worker stopped on purpose.

        Raises Missing.
        """
        await self._start_next(evaluation, lost_attempts=evaluation.lost_attempts)

    async def start_after_loss(self, evaluation: JobEvaluation) -> None:
        """Start the next attempt of an evaluation whose worker died. Raises Missing."""
        await self._start_next(evaluation, lost_attempts=evaluation.lost_attempts + 1)

    async def _start_next(
        self, evaluation: JobEvaluation, *, lost_attempts: int, **more: Any
    ) -> JobEvaluation:
        def change(current: JobEvaluation) -> JobEvaluation:
            if not current.is_attempt_of(evaluation):
                return current  # another process restarted it already
            return current.model_copy(
                update={
                    "attempt": current.attempt + 1,
                    "lost_attempts": lost_attempts,
                    "status": EvaluationStatus.IN_PROGRESS,
                    "phase": Phase.WAITING,
                    "error": None,
                    "finished_at": None,
                    **more,
                }
            )

        def also(pipe: Pipeline, after: JobEvaluation) -> None:
            pipe.sadd(UNFINISHED, _member(after))

        after = await self.records.update(evaluation.project_id, evaluation.id, change, also=also)
        await self.enqueue(after)
        return after

    async def unfinished(self) -> list[JobEvaluation]:
        """Return all readable evaluations that have not ended."""
        return await read_unfinished(
            self.redis, UNFINISHED, lambda _: self.records, lambda one: not one.is_final
        )


def _member(evaluation: JobEvaluation) -> str:
    return f"{evaluation.project_id}/{evaluation.id}"
