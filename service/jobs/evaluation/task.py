"""The task that evaluates a finished job on its held-out rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from redis.asyncio.client import Pipeline

from service.core import ids, logs, metrics
from service.core.records import Missing
from service.evals.judge import RunJudge
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, scratch_folder
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.inference.background.calls import ModelGone, Resources
from service.jobs.evaluation.checkpoints import Checkpoint, chosen
from service.jobs.evaluation.columns import Columns
from service.jobs.evaluation.engine import EngineAway, EvaluationEngine
from service.jobs.evaluation.examples import Data, answers_at_once, fetch_data, sample
from service.jobs.evaluation.job_data import FileGone, HeldOut, fetch_held_out
from service.jobs.evaluation.measure import Evaluator, is_base
from service.jobs.evaluation.records import (
    Evaluations,
    EvaluationStatus,
    JobEvaluation,
    Progress,
    job_of,
)
from service.jobs.evaluation.results import Conclusion, store
from service.jobs.evaluation.rewards import RewardEvaluator, read_prompts
from service.jobs.evaluation.scoring import AnswerJudge, Scoring
from service.jobs.graders import parse_grader
from service.jobs.planning.hyperparameters import answer_tokens
from service.jobs.records import JobRecord, Jobs
from service.models.catalogue import BaseModelEntry
from service.models.records import write_figures
from service.training.contract.failures import TrainingFailure
from service.work.records import WorkError
from service.work.task import CancelableTask, WorkFailed

_GONE = "model_not_found"
# The comparison with the trainer is at the end of the training. Evaluations add events after it.
_NEWEST_EVENTS = 500
_MOST_CHECKPOINTS = 100  # that are looked at


class _Skipped(WorkFailed):
    """The evaluation ends without a result, although nothing failed."""


class EvaluateJob(CancelableTask[JobEvaluation]):
    """The `evaluate_job` task: takes an evaluation from in progress to its end."""

    def __init__(self, jobs: Jobs, resources: Resources) -> None:
        self._evaluations = Evaluations(jobs.redis)
        super().__init__(self._evaluations, resources.leases)
        self._jobs = jobs
        self._files = resources.files
        self._registry = resources.registry
        self._storage = resources.storage
        self._settings = resources.settings
        self._access = resources.access
        self._dataset_process = DatasetProcess(self._settings)

    def _logged(self, _subject: str) -> AbstractContextManager[object]:
        return logs.bound(logs.job_id, job_of(_subject))

    async def _work(self, record: JobEvaluation) -> None:
        progress = Progress(self._evaluations, self._jobs, record)
        found = await self._evaluate(record, progress)
        await self._end(
            record,
            EvaluationStatus.COMPLETED,
            lambda pipe, after: _write_figures(pipe, after, found),
            verdict=found.verdict,
            figures=found.figures,
            gate=found.gate,
        )

    async def _fail(self, record: JobEvaluation, error: Any) -> None:
        if error.code == _GONE:
            await self._storage.delete_prefix(record.folder)
        is_skipped = isinstance(error, _Skipped)
        status = EvaluationStatus.SKIPPED if is_skipped else EvaluationStatus.FAILED
        failure = WorkError(code=error.code, message=error.message)
        await self._end(record, status, error=failure)

    async def _end(
        self,
        record: JobEvaluation,
        status: EvaluationStatus,
        also: Callable[[Pipeline, JobEvaluation], None] = lambda _, __: None,
        **fields: Any,
    ) -> None:
        await self._evaluations.change_own(
            record, lambda current: current.end(status, ids.now_s(), **fields), also
        )
        metrics.JOB_EVALUATIONS.cell(status).inc()

    async def _evaluate(self, evaluation: JobEvaluation, progress: Progress) -> Conclusion:
        """Measure, judge and store, and return the conclusion. Raises WorkFailed."""
        job = await self._jobs.get(evaluation.project_id, evaluation.id)
        if job is None:
            raise Missing(evaluation.id)
        entry = await self._served(evaluation, job)
        if job.grader is not None:
            return await self._evaluate_rewards(evaluation, job, parse_grader(job.grader), progress)
        folder = self._settings.scratch / f"evaluation-{job.id}"
        with _failing_without_data():
            async with scratch_folder(folder):
                data = await fetch_data(job, self._files, folder, self._dataset_process)
        engine = EvaluationEngine(
            self._access.calls(job.project_id, job.key_id),
            job.model,
            concurrency=self._settings.eval_requests_at_once,
            answers_at_once=answers_at_once(self._settings, entry, data),
        )
        with _failing_without_engine(job.model):
            uses_tools = any(example.uses_tools for example in data.held_out)
            if not uses_tools or not await engine.reads_tool_calls():
                data = data.without_tools()
            rows = sample(data.held_out, self._settings.evaluation_rows, job.seed)
            if not rows:
                raise _Skipped("no_held_out_rows", _nothing_to_ask(data, job.model))
            evaluation = await progress.begin(len(rows))
            async with Sandbox() as sandbox:
                scoring = Scoring(data.rows, sandbox)
                notes = await self._use_judge(scoring, job, data)
                evaluator = Evaluator(
                    evaluation,
                    job,
                    entry,
                    rows=rows,
                    most_rows=self._settings.evaluation_rows,
                    data=data,
                    checkpoints=await self._checkpoints(evaluation, job),
                    columns=Columns(
                        evaluation, rows, engine=engine, storage=self._storage, progress=progress
                    ),
                    scoring=scoring,
                    notes=notes,
                    engine=engine,
                    progress=progress,
                )
                comparison = await evaluator.compare(await self._parity(job))
        await self._served(evaluation, job)  # nothing is stored for a model that was deleted
        return await store(self._storage, evaluation, comparison, job.gate)

    async def _use_judge(self, scoring: Scoring, job: JobRecord, data: Data) -> list[str]:
        """Let the installation's judge decide about texts if it is good enough, and say so."""
        name = self._settings.evaluation_judge
        if name is None or not scoring.is_of_text:
            return []
        if name not in self._settings.upstreams:
            return [f"chrF decided: no engine serves the judge {name}."]
        asked = RunJudge(self._access.calls(job.project_id, job.key_id))
        judge = AnswerJudge(asked, name, self._settings.eval_requests_at_once)
        found = await judge.calibrate(data.rows, job.seed)
        if not found.is_usable:
            return [f"chrF decided: the judge {name} is hardly better than chance, since {found}."]
        scoring.judge = judge
        return [f"The judge {name} decided, asked in both orders: {found}."]

    async def _evaluate_rewards(
        self, evaluation: JobEvaluation, job: JobRecord, grader: Grader, progress: Progress
    ) -> Conclusion:
        """Measure by the job's own grader, judge and store. Raises WorkFailed."""
        folder = self._settings.scratch / f"evaluation-{job.id}"
        with _failing_without_data():
            async with scratch_folder(folder):
                files, held_out = await fetch_held_out(
                    job, self._files, folder, self._dataset_process
                )
                prompts = await asyncio.to_thread(read_prompts, files, held_out)
        calls = self._access.calls(job.project_id, job.key_id)
        engine = EvaluationEngine(
            calls, job.model, concurrency=self._settings.eval_requests_at_once
        )
        rows = sample(prompts.examples, self._settings.evaluation_rows, job.seed)
        if not rows:
            raise _Skipped("no_held_out_rows", _nothing_left(held_out))
        with _failing_without_engine(job.model):
            if any(row.tools for row in rows):
                await engine.reads_tool_calls()
            evaluation = await progress.begin(len(rows))
            parity = await self._parity(job)
            columns = Columns(
                evaluation,
                rows,
                engine=engine,
                storage=self._storage,
                progress=progress,
                max_tokens=answer_tokens(job.resolved),
            )
            async with Sandbox() as sandbox:
                evaluator = RewardEvaluator(
                    evaluation,
                    job,
                    grader,
                    rows=rows,
                    most_rows=self._settings.evaluation_rows,
                    prompts=prompts,
                    columns=columns,
                    engine=engine,
                    progress=progress,
                    tools=lambda: RunJudge(calls).tools(sandbox),
                )
                comparison = await evaluator.compare(
                    is_base=is_base(parity), parity=parity is not None
                )
        await self._served(evaluation, job)
        return await store(self._storage, evaluation, comparison, job.gate)

    async def _served(self, evaluation: JobEvaluation, job: JobRecord) -> BaseModelEntry:
        """Return the base model. Raises WorkFailed if no engine serves it and the tuned model."""
        if self._settings.evaluation_rows == 0:
            raise _Skipped("evaluations_disabled", "The operator turned evaluations off.")
        entry = self._registry.catalogue.get(job.model)
        if entry is None or job.model not in self._settings.upstreams:
            raise _Skipped("not_served", f"No engine serves the base model {job.model}.")
        if await self._registry.find(job.project_id, evaluation.model) is None:
            raise _Skipped(_GONE, f"The model {evaluation.model} was deleted.")
        return entry

    async def _checkpoints(self, evaluation: JobEvaluation, job: JobRecord) -> list[Checkpoint]:
        model = await self._registry.models.get(job.project_id, evaluation.model)
        if model is None:
            raise _Skipped(_GONE, f"The model {evaluation.model} was deleted.")
        page = await self._jobs.checkpoints(job.id).page(job.project_id, limit=_MOST_CHECKPOINTS)
        known = [
            record
            for record in page.items
            if await self._registry.find(job.project_id, record.model) is not None
        ]
        return chosen(
            known,
            final_step=model.step,
            kept_best=job.hyperparameters.keep_best,
            most=self._settings.evaluation_checkpoints,
        )

    async def _parity(self, job: JobRecord) -> dict[str, float] | None:
        """Return the figures of the comparison of engine and trainer, if it was made."""
        events, _ = await self._jobs.events_before(job.project_id, job.id, None, _NEWEST_EVENTS)
        for event in events:
            if event.data.get("code") == "serve_parity" and "base_gap" in event.data:
                return {k: v for k, v in event.data.items() if isinstance(v, int | float)}
        return None


def _write_figures(pipe: Pipeline, evaluation: JobEvaluation, found: Conclusion) -> None:
    measured = {**found.checkpoints, evaluation.model: found.figures}
    for model, of_model in measured.items():
        write_figures(pipe, evaluation.project_id, model, of_model)


def _nothing_to_ask(data: Data, model: str) -> str:
    if data.without_calls:
        return (
            f"All held-out rows use tools, and the engine of {model} returns no tool calls. Set "
            "`tool_call_parser` of its base model in the catalog."
        )
    if data.skipped:
        return "None of the held-out rows is a chat with an answer."
    return _nothing_left(data)


def _nothing_left(found: Data | HeldOut) -> str:
    if found.overlapping:
        return (
            f"The {found.overlapping} held-out rows that could judge the model are in the training "
            "data, exactly or nearly. Hold out other rows."
        )
    if found.selecting:
        return (
            f"All {found.selecting} held-out rows have the same prompt and chose the checkpoint or "
            "the trial, so none is left to judge the model. Hold out rows with other prompts."
        )
    return "The job held out no rows."


@contextmanager
def _failing_without_data() -> Iterator[None]:
    """Raise WorkFailed if the job's rows cannot be read."""
    try:
        yield
    except FileGone as e:
        raise WorkFailed("file_not_found", f"The file {e.file_id} was deleted.") from e
    except (DatasetTaskFailed, TrainingFailure) as e:
        raise WorkFailed(e.code, e.message) from e


@contextmanager
def _failing_without_engine(model: str) -> Iterator[None]:
    """Raise WorkFailed if the engine gives no answers, or the tuned model is deleted."""
    try:
        yield
    except EngineAway as e:
        message = f"The engine of {model} gave no answers: {e}."
        raise WorkFailed("engine_unavailable", message) from e
    except ModelGone as e:
        raise _Skipped(e.code, e.message) from e
