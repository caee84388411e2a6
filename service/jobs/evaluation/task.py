"""The task that evaluates a finished job on its held-out rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from redis.asyncio.client import Pipeline

from service.core import clock, logs, metrics
from service.core.records import Missing
from service.core.storage import StorageMissing
from service.evals.judge import RunJudge
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, scratch_folder
from service.grading.examples import Example
from service.grading.sandbox.sandbox import Sandbox
from service.inference.background.calls import EngineCalls, ModelGone, Resources
from service.jobs.evaluation.checkpoints import Checkpoint, choose_checkpoints
from service.jobs.evaluation.columns import Columns
from service.jobs.evaluation.engine import EngineAway, EvaluationEngine
from service.jobs.evaluation.job_data import (
    Data,
    FileGone,
    HeldOut,
    JobFiles,
    fetch_held_out,
    only_model_thinks,
    read_data,
    sample,
)
from service.jobs.evaluation.labels.records import Labels, current_labels
from service.jobs.evaluation.labels.review import labeled_pairs, review_labels, weighed_verdict
from service.jobs.evaluation.measure import Evaluator
from service.jobs.evaluation.records import (
    Evaluations,
    EvaluationStatus,
    JobEvaluation,
    ProgressReporter,
    event,
    job_of,
)
from service.jobs.evaluation.results import Conclusion, read_comparison, store_results
from service.jobs.evaluation.rewards import RewardEvaluator, read_prompts
from service.jobs.evaluation.scoring import AnswerJudge, Pair, Scoring
from service.jobs.graders import parse_grader
from service.jobs.planning.hyperparameters import answer_tokens
from service.jobs.records import JobRecord, Jobs
from service.models.catalogue import BaseModelEntry
from service.models.records import write_figures
from service.training.contract.failures import TrainingFailure
from service.verdict.comparison import Comparison
from service.verdict.human_review import majorities
from service.verdict.memorization import given_text
from service.verdict.results import Statement
from service.verdict.statements import state
from service.work.records import WorkError
from service.work.task import CancelableTask, WorkFailed

T = TypeVar("T")

# The comparison with the trainer is at the end of the training. Evaluations add events after it.
_NEWEST_EVENTS = 500
_MOST_CHECKPOINTS = 100  # from which those to evaluate are chosen


class _Skipped(WorkFailed):
    """The evaluation ends without a result, although nothing failed."""


class EvaluateJob(CancelableTask[JobEvaluation]):
    """The `evaluate_job` task: takes an evaluation from in progress to its end."""

    failures = (DatasetTaskFailed, EngineAway, FileGone, ModelGone, TrainingFailure)

    def __init__(self, jobs: Jobs, resources: Resources) -> None:
        self._evaluations = Evaluations(jobs.redis)
        super().__init__(self._evaluations, resources.leases)
        self._jobs = jobs
        self._files = resources.files
        self._registry = resources.registry
        self._storage = resources.storage
        self._labels = Labels(jobs.redis, resources.storage)
        self._settings = resources.settings
        self._access = resources.access
        self._dataset_process = DatasetProcess(self._settings)

    def _logged(self, _subject: str) -> AbstractContextManager[object]:
        return logs.bound(logs.job_id, job_of(_subject))

    async def _work(self, record: JobEvaluation) -> None:
        job = await self._jobs.get(record.project_id, record.id)
        if job is None:
            raise Missing(record.id)
        entry = await self._find_served(record, job)
        comparison = await self._measure(record, job, entry)
        await self._find_served(record, job)  # nothing is stored for a model that was deleted
        found = await store_results(self._storage, record, comparison, job.gate)
        review, _ = await review_labels(await self._labels.all(record), comparison)
        weighed = await asyncio.to_thread(weighed_verdict, found.verdict, review)

        def write(pipe: Pipeline, after: JobEvaluation) -> None:
            _write_figures(pipe, after, found)
            if weighed["kind"] != found.verdict["kind"]:  # by labels of answers that stayed
                news = event(weighed["sentence"], "warn", status=after.status)
                self._jobs.add_events(pipe, after.project_id, after.id, [news])

        await self._end(
            record,
            EvaluationStatus.COMPLETED,
            write,
            verdict=found.verdict,
            figures=found.figures[record.model],
            gate=found.gate,
        )

    async def _fail(self, record: JobEvaluation, error: Any) -> None:
        if isinstance(error, ModelGone):
            await self._storage.delete_prefix(record.folder)
        is_skipped = isinstance(error, _Skipped | ModelGone)
        status = EvaluationStatus.SKIPPED if is_skipped else EvaluationStatus.FAILED
        await self._end(record, status, error=WorkError(code=error.code, message=error.message))

    async def _end(
        self,
        record: JobEvaluation,
        status: EvaluationStatus,
        also: Callable[[Pipeline, JobEvaluation], None] = lambda _, __: None,
        **fields: Any,
    ) -> None:
        await self._evaluations.change_own(
            record, lambda current: current.end(status, clock.now_s(), **fields), also
        )
        metrics.JOB_EVALUATIONS.cell(status).inc()

    async def _find_served(self, evaluation: JobEvaluation, job: JobRecord) -> BaseModelEntry:
        """Return the base model. Raises WorkFailed or ModelGone unless both models are served."""
        if self._settings.evaluation_rows == 0:
            raise _Skipped("evaluations_disabled", "The operator turned evaluations off.")
        entry = self._registry.catalogue.get(job.model)
        if entry is None or job.model not in self._settings.engine_urls:
            raise _Skipped("model_not_served", f"No engine serves the base model {job.model}.")
        if await self._registry.find(job.project_id, evaluation.model) is None:
            raise ModelGone(evaluation.model)
        return entry

    async def _measure(
        self, evaluation: JobEvaluation, job: JobRecord, entry: BaseModelEntry
    ) -> Comparison:
        calls = self._access.calls(
            job.project_id, job.key_id, concurrency=self._settings.eval_requests_at_once
        )
        parity = await self._parity(job)
        if job.grader is not None:
            return await self._compare_rewards(evaluation, job, calls, parity)
        return await self._compare_answers(evaluation, job, entry, calls, parity)

    async def _compare_answers(
        self,
        evaluation: JobEvaluation,
        job: JobRecord,
        entry: BaseModelEntry,
        calls: EngineCalls,
        parity: Mapping[str, float] | None,
    ) -> Comparison:
        """Compare the models by the rows' own answers."""
        data = await self._read(job, read_data)
        disable_thinking = only_model_thinks(self._settings, entry, data)
        engine = EvaluationEngine(calls, job.model, disable_thinking=disable_thinking)
        uses_tools = any(example.uses_tools for example in data.held_out)
        if not uses_tools or not await engine.reads_tool_calls():
            data = data.without_tools()
        rows = self._sample(data.held_out, job, _explain_no_rows(data, job.model))
        columns = await self._begin(evaluation, job, rows, engine)
        async with Sandbox() as sandbox:
            scoring = Scoring(data.rows, sandbox)
            evaluator = Evaluator(
                columns,
                entry,
                data,
                scoring,
                await self._checkpoints(evaluation, job),
                most_rows=self._settings.evaluation_rows,
                notes=await self._use_judge(scoring, evaluation, job, data, calls),
            )
            return await evaluator.compare(parity)

    async def _compare_rewards(
        self,
        evaluation: JobEvaluation,
        job: JobRecord,
        calls: EngineCalls,
        parity: Mapping[str, float] | None,
    ) -> Comparison:
        """Compare the models by the job's own grader."""
        assert job.grader is not None
        prompts = await self._read(job, read_prompts)
        engine = EvaluationEngine(calls, job.model)
        rows = self._sample(prompts.examples, job, _explain_no_rows_left(prompts.held_out))
        if any(row.tools for row in rows):
            await engine.reads_tool_calls()
        columns = await self._begin(
            evaluation, job, rows, engine, max_tokens=answer_tokens(job.resolved)
        )
        async with Sandbox() as sandbox:
            evaluator = RewardEvaluator(
                columns,
                prompts,
                parse_grader(job.grader),
                lambda: RunJudge(calls).tools(sandbox),
                most_rows=self._settings.evaluation_rows,
            )
            return await evaluator.compare(parity)

    async def _read(self, job: JobRecord, read: Callable[[JobFiles, HeldOut], T]) -> T:
        """Download the job's files, and read them."""
        async with scratch_folder(self._settings.scratch / f"evaluation-{job.id}") as folder:
            files, held_out = await fetch_held_out(job, self._files, folder, self._dataset_process)
            return await asyncio.to_thread(read, files, held_out)

    def _sample(self, held_out: Sequence[Example], job: JobRecord, reason: str) -> list[Example]:
        """Return the rows to evaluate. Raises WorkFailed with the reason if there are none."""
        rows = sample(held_out, self._settings.evaluation_rows, job.seed)
        if not rows:
            raise _Skipped("no_held_out_rows", reason)
        return rows

    async def _begin(
        self,
        evaluation: JobEvaluation,
        job: JobRecord,
        rows: Sequence[Example],
        engine: EvaluationEngine,
        max_tokens: int | None = None,
    ) -> Columns:
        progress = ProgressReporter(self._evaluations, self._jobs, evaluation)
        await progress.begin(len(rows))
        return Columns(
            evaluation,
            job,
            rows,
            engine=engine,
            storage=self._storage,
            progress=progress,
            max_tokens=max_tokens,
        )

    async def _use_judge(
        self,
        scoring: Scoring,
        evaluation: JobEvaluation,
        job: JobRecord,
        data: Data,
        calls: EngineCalls,
    ) -> list[Statement]:
        """Let the installation's judge score texts if it is good enough. Returns a note on it."""
        name = self._settings.evaluation_judge
        if name is None or not scoring.is_of_text:
            return []
        if name not in self._settings.engine_urls:
            return [state("judge_not_served", judge=name)]
        judge = AnswerJudge(RunJudge(calls), name)
        found = await judge.calibrate(data.rows, job.seed, await self._labeled_pairs(evaluation))
        if not found.is_usable:
            return [state("judge_not_usable", found._asdict(), judge=name)]
        scoring.judge = judge
        return [state("judge_decided", found._asdict(), judge=name)]

    async def _labeled_pairs(self, evaluation: JobEvaluation) -> list[Pair]:
        """Return the answers of the evaluation before this one that people compared."""
        labels = await self._labels.all(evaluation)
        if not labels:
            return []
        try:
            comparison = await read_comparison(self._storage, evaluation)
        except StorageMissing:
            return []
        # One pair for each row, however many people labeled it: the judge's interval counts pairs.
        return [
            Pair(
                given_text(one.row.prompt),
                one.row.answers[one.winner].text,
                one.row.answers[one.rival].text,
            )
            for one in majorities(labeled_pairs(current_labels(labels, comparison)))
            if one.winner is not None
        ]

    async def _checkpoints(self, evaluation: JobEvaluation, job: JobRecord) -> list[Checkpoint]:
        model = await self._registry.models.get(job.project_id, evaluation.model)
        if model is None:
            raise ModelGone(evaluation.model)
        page = await self._jobs.checkpoints(job.id).page(job.project_id, limit=_MOST_CHECKPOINTS)
        known = [
            record
            for record in page.items
            if await self._registry.find(job.project_id, record.model) is not None
        ]
        return choose_checkpoints(
            known,
            final_step=model.step,
            kept_best=job.hyperparameters.keep_best,
            most=self._settings.evaluation_checkpoints,
        )

    async def _parity(self, job: JobRecord) -> dict[str, float] | None:
        """Return the figures of the comparison of engine and trainer, if it was made."""
        events, _ = await self._jobs.events_before(job.project_id, job.id, None, _NEWEST_EVENTS)
        for one in events:
            if one.data.get("code") == "serve_parity" and "base_gap" in one.data:
                return {k: v for k, v in one.data.items() if isinstance(v, int | float)}
        return None


def _write_figures(pipe: Pipeline, evaluation: JobEvaluation, found: Conclusion) -> None:
    for model, figures in found.figures.items():
        write_figures(pipe, evaluation.project_id, model, figures)


def _explain_no_rows(data: Data, model: str) -> str:
    if data.without_calls:
        return (
            f"All held-out rows use tools, and the engine of {model} returns no tool calls. Set "
            "`tool_call_parser` of its base model in the catalog."
        )
    if data.skipped:
        return "None of the held-out rows is a chat with an answer."
    return _explain_no_rows_left(data)


def _explain_no_rows_left(found: Data | HeldOut) -> str:
    if found.overlapping:
        return (
            f"The {found.overlapping} held-out rows that could judge the model are in the training "
            "data, exactly or nearly. Hold out other rows."
        )
    if found.selecting:
        return (
            f"All {found.selecting} held-out rows have the same prompt and chose the "
            "checkpoint, so none is left to judge the model. Hold out rows with other prompts."
        )
    return "The job held out no rows."
