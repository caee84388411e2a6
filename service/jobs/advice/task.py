"""The task that advises whether to train: it asks the base model, and reads report and estimate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from service.core import clock, ids
from service.core.errors import BadRequest, NotReady
from service.core.redis import Client
from service.core.tasks import gather
from service.datasets.contract.tasks import ReportSpec
from service.files.curation.dataset_process import (
    DatasetProcess,
    DatasetTaskFailed,
    fetch,
    fetch_rows,
    scratch_folder,
)
from service.files.records import FileRecord, FileStatus
from service.grading.examples import Example, Message
from service.grading.sandbox.sandbox import Sandbox
from service.inference.background.calls import ModelGone, Resources
from service.jobs.advice.records import AdviceRecord, AdviceStatus, AdviceStore
from service.jobs.evaluation.columns import answer_limit, build_rows, cluster_of
from service.jobs.evaluation.engine import EngineAway, EvaluationEngine
from service.jobs.evaluation.job_data import (
    Data,
    HeldOut,
    JobFiles,
    only_model_thinks,
    read_data,
    sample,
)
from service.jobs.evaluation.prompt_search import find_best_prompt
from service.jobs.evaluation.scoring import Scoring
from service.jobs.planning.job_plan import estimate
from service.jobs.records import JobRecord
from service.models.catalogue import BaseModelEntry
from service.models.records import base_of, is_checkpoint, read_all_figures
from service.training.contract.failures import TrainingFailure
from service.training.contract.hyperparameters import REQUESTED
from service.training.contract.methods import METHODS, MethodName
from service.verdict.advice import conclude
from service.verdict.comparison import BASE, PROMPT, Answer, Column, Comparison
from service.verdict.results import Finding, Statement
from service.verdict.retrieval import AnsweredRow, retrieval_signs
from service.verdict.statements import state, write
from service.verdict.thresholds import LEAST_EARLIER_MODELS
from service.work.task import CancelableTask, WorkFailed

_MOST_ROWS: Final = 40  # that base model and best prompt answer; about a minute on a CPU
_LARGEST_SHARE: Final = 3  # at most a third of the rows; prompts are made from the others
_POLL_S: Final = 1.0


class AdviseTraining(CancelableTask[AdviceRecord]):
    """The `advise_training` task: takes an advice from in progress to its end."""

    failures = (DatasetTaskFailed, EngineAway, ModelGone, TrainingFailure)

    def __init__(self, resources: Resources) -> None:
        self._files = resources.files
        super().__init__(AdviceStore(self._files.redis), resources.leases)
        self._registry = resources.registry
        self._storage = resources.storage
        self._settings = resources.settings
        self._access = resources.access
        self._dataset_process = DatasetProcess(self._settings)

    async def _work(self, record: AdviceRecord) -> None:
        file, entry = await self._inputs(record)
        async with scratch_folder(self._settings.scratch / record.id) as folder:
            data = (await self._read(file, folder)).without_tools()
            findings = await self._findings(file, entry, folder)
        comparison = await self._compare(record, entry, data)
        estimate, refusal = await self._estimate(record, file, entry)
        result = await _build_result(
            comparison,
            redis=self._files.redis,
            project_id=record.project_id,
            rows=file.rows or 0,
            findings=findings,
            estimate=estimate,
            notes=[note for note in (refusal, _left_out(file, data)) if note],
        )
        await self._store.change_own(
            record,
            lambda current: current.end(AdviceStatus.COMPLETED, clock.now_s(), result=result),
        )

    async def _inputs(self, record: AdviceRecord) -> tuple[FileRecord, BaseModelEntry]:
        file = await self._files.get(record.project_id, record.training_file, clock.now_s())
        if file is None or file.status is not FileStatus.PROCESSED:
            raise WorkFailed("file_not_found", f"The file {record.training_file} was deleted.")
        entry = self._registry.catalogue.get(record.model)
        if entry is None or record.model not in self._settings.engine_urls:
            raise WorkFailed("model_not_served", f"No engine serves the base model {record.model}.")
        return file, entry

    async def _read(self, file: FileRecord, folder: Path) -> Data:
        path = await fetch_rows(self._storage, file, folder / "rows.jsonl")
        return await asyncio.to_thread(read_data, JobFiles(path), HeldOut())

    async def _findings(
        self, file: FileRecord, entry: BaseModelEntry, folder: Path
    ) -> list[Finding]:
        tokenizer = entry.path / "tokenizer.json"
        spec = ReportSpec(
            path=await fetch(self._storage, file, folder / "content"),
            format=self._dataset_process.format_of(file.read_options),
            result=folder / "report.json",
            tokenizers={entry.id: tokenizer} if tokenizer.is_file() else {},
            context_lengths=(entry.context_length,),
        )
        report = await self._dataset_process.run(spec)
        return [Finding(one.code, one.title, one.variant, one.figures) for one in report.advice]

    async def _compare(
        self, record: AdviceRecord, entry: BaseModelEntry, data: Data
    ) -> Comparison | None:
        """Compare the base model with and without the best prompt, and search for the answers.

        Returns None if there are too few rows. Raises EngineAway and ModelGone.
        """
        asked, others = _divide(data.training, record.seed)
        if not asked:
            return None
        calls = self._access.calls(
            record.project_id, record.key_id, concurrency=self._settings.eval_requests_at_once
        )
        engine = EvaluationEngine(
            calls,
            record.model,
            disable_thinking=only_model_thinks(self._settings, entry, data),
        )
        max_tokens = answer_limit(asked)
        async with Sandbox() as sandbox:
            scoring = Scoring(data.rows, sandbox)

            async def ask(prompt: Sequence[Message]) -> Answer:
                return await engine.answer(record.model, prompt, max_tokens=max_tokens)

            async def answer_all(prompts: Sequence[Sequence[Message]]) -> list[Answer]:
                return await scoring.score(await gather(ask, prompts), asked)

            best = await find_best_prompt(
                others,
                asked,
                engine=engine,
                scoring=scoring,
                entry=entry,
                max_tokens=max_tokens,
                seed=record.seed,
            )
            columns = [Column(name=BASE, model=record.model)]
            answers = {BASE: await answer_all([row.prompt for row in asked])}
            if best is not None:
                lines = best.candidate.lines
                columns.append(Column(name=PROMPT, model=record.model, example_lines=lines))
                answers[PROMPT] = await answer_all(
                    [best.prompts.messages(best.candidate, row.prompt) for row in asked]
                )
        unseen = [
            AnsweredRow(r, answer.text) for r, answer in zip(asked, answers[BASE], strict=True)
        ]
        return Comparison(
            job_id=record.id,
            model=record.model,
            base_model=record.model,
            created_at=clock.now_s(),
            columns=columns,
            metrics=scoring.metrics,
            rows=build_rows(asked, answers),
            train_rows=len(others),
            retrieval=await asyncio.to_thread(retrieval_signs, others, asked, unseen=unseen),
        )

    async def _estimate(
        self, record: AdviceRecord, file: FileRecord, entry: BaseModelEntry
    ) -> tuple[dict[str, Any] | None, Statement | None]:
        """Return the estimate of a job with default settings, or the reason why there is none."""
        job = _default_job(record, _method(file))
        while True:
            try:
                found = await estimate(
                    job,
                    entry,
                    redis=self._files.redis,
                    files=self._files,
                    settings=self._settings,
                )
            except NotReady:
                await asyncio.sleep(_POLL_S)  # another task measures the rows
            except BadRequest as e:
                return None, state("job_refused", error=e.code, message=e.message)
            else:
                return found.model_dump(mode="json"), None


def _divide(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Return the rows to ask and the other rows, which have other questions."""
    asked = sample(examples, min(_MOST_ROWS, len(examples) // _LARGEST_SHARE), seed)
    questions = {cluster_of(example) for example in asked}
    return asked, [example for example in examples if cluster_of(example) not in questions]


def _method(file: FileRecord) -> MethodName:
    """Return the training method for the rows of a file."""
    found = (name for name, method in METHODS.items() if method.row_format == file.row_format)
    return next(found, "supervised")


def _default_job(record: AdviceRecord, method: MethodName) -> JobRecord:
    """Return the job that a user would create without any settings."""
    return JobRecord(
        id=ids.new(ids.JOB),
        project_id=record.project_id,
        project_name=record.project_name,
        created_at=record.created_at,
        model=record.model,
        training_file=record.training_file,
        validation_file=None,
        suffix=None,
        seed=record.seed,
        metadata=None,
        method=method,
        hyperparameters=REQUESTED[method](),
        model_tag="",
    )


def _left_out(file: FileRecord, data: Data) -> Statement | None:
    count = (file.rows or 0) - len(data.training)
    if count <= 0:
        return None
    return state("rows_without_text_answer", rows=count)


async def _build_result(
    comparison: Comparison | None,
    *,
    redis: Client,
    project_id: str,
    rows: int,
    findings: Sequence[Finding],
    estimate: dict[str, Any] | None,
    notes: Sequence[Statement],
) -> dict[str, Any]:
    """Return the fields of `AdviceObject` from the recommendation on. Scores are in points."""
    found = conclude(comparison, rows=rows, findings=findings)
    shown: dict[str, Any] = {
        "recommendation": found.recommendation,
        "sentence": found.sentence,
        "code": found.code,
        "figures": found.figures,
        "rows": rows,
        "metric": found.metric,
        "headroom": found.headroom,
        "findings": msgspec.to_builtins(list(findings)),
        "estimate": estimate,
        "notes": list(map(write, notes)),
        "note_details": msgspec.to_builtins(list(notes)),
    }
    for name, score in (("base", found.base), ("prompt", found.prompt)):
        if score is not None:
            shown[name] = {**_points(score.mean, score.low, score.high), "rows": score.n}
    if comparison is None:
        return shown
    if found.prompt is not None and (column := comparison.column(PROMPT)) is not None:
        shown["prompt"]["example_lines"] = column.example_lines
    if (gain := found.prompt_gain) is not None:
        shown["prompt_gain"] = _points(gain.mean, gain.low, gain.high)
    if (signs := comparison.retrieval) is not None:
        shown["retrieval"] = {
            "rows": signs.rows,
            "facts": signs.facts,
            "found": signs.found,
            "base_right": signs.unseen_right,
        }
    shown["expected_gain"] = await _expected_gain(
        redis, project_id, comparison.base_model, comparison.primary.name
    )
    return shown


async def _expected_gain(
    redis: Client, project_id: str, base_model: str, metric: str
) -> dict[str, float] | None:
    """Return what the project's models of the base model gained over the best prompt.

    Returns None if fewer than three were evaluated on the metric.
    """
    key = f"{metric}_gain_over_prompt"
    gains = [
        float(measured[key])
        for model, measured in (await read_all_figures(redis, project_id)).items()
        if base_of(model) == base_model and not is_checkpoint(model) and key in measured
    ]
    if len(gains) < LEAST_EARLIER_MODELS:
        return None
    return {
        "points": round(median(gains), 2),
        "low": round(min(gains), 2),
        "high": round(max(gains), 2),
        "models": len(gains),
    }


def _points(mean: float, low: float, high: float) -> dict[str, float]:
    """Return a score or difference with its interval in points (0 to 100)."""
    scores = {"points": mean, "low": low, "high": high}
    return {name: round(100 * score, 2) for name, score in scores.items()}
