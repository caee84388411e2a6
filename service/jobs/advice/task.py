"""The task that works out an advice: it asks the engine, and reads the report and the estimate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from service.core import ids
from service.core.errors import BadRequest, NotReady
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
from service.jobs.evaluation.best_prompt import best_prompt
from service.jobs.evaluation.columns import answer_limit
from service.jobs.evaluation.engine import EngineAway, EvaluationEngine
from service.jobs.evaluation.examples import Data, answers_at_once, cluster_of, read_data, sample
from service.jobs.evaluation.job_data import HeldOut
from service.jobs.evaluation.measure import compared
from service.jobs.evaluation.scoring import Scoring
from service.jobs.planning.job_plan import estimate
from service.jobs.records import JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.contract.failures import TrainingFailure
from service.training.contract.hyperparameters import REQUESTED
from service.training.contract.methods import METHODS, MethodName
from service.verdict.comparison import BASE, PROMPT, Answer, Column, Comparison
from service.verdict.results import Finding
from service.verdict.retrieval import Answered, retrieval_signs
from service.work.task import CancelableTask, WorkFailed

MOST_ROWS: Final = 40
"""Rows that base model and best prompt answer. They take about a minute on a CPU."""

_SHARE: Final = 3  # at most a third of the rows; prompts are made of the others


def divide(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Return the rows to ask and the other rows, which have other questions."""
    asked = sample(examples, min(MOST_ROWS, len(examples) // _SHARE), seed)
    questions = {cluster_of(example) for example in asked}
    return asked, [example for example in examples if cluster_of(example) not in questions]


async def measure(
    record: AdviceRecord,
    entry: BaseModelEntry,
    examples: Sequence[Example],
    *,
    engine: EvaluationEngine,
    scoring: Scoring,
) -> Comparison | None:
    """Ask the base model, with and without the best prompt, and search the other rows.

    Returns None if there are too few rows. Raises EngineAway and ModelGone.
    """
    asked, others = divide(examples, record.seed)
    if not asked:
        return None
    max_tokens = answer_limit(asked)
    best = await best_prompt(
        others,
        asked,
        engine=engine,
        scoring=scoring,
        entry=entry,
        max_tokens=max_tokens,
        seed=record.seed,
    )

    async def answers(prompts: Sequence[Sequence[Message]]) -> list[Answer]:
        async def ask(prompt: Sequence[Message]) -> Answer:
            return await engine.answer(record.model, prompt, max_tokens=max_tokens)

        return await scoring.score(await gather(ask, prompts), asked)

    scored = {BASE: await answers([row.prompt for row in asked])}
    columns = [Column(name=BASE, model=record.model)]
    if best is not None:
        prompts = [best.prompts.messages(best.candidate, row.prompt) for row in asked]
        scored[PROMPT] = await answers(prompts)
        lines = best.candidate.lines
        columns.append(Column(name=PROMPT, model=record.model, example_lines=lines))
    said = [Answered(row, answer.text) for row, answer in zip(asked, scored[BASE], strict=True)]
    return Comparison(
        job_id=record.id,
        model=record.model,
        base_model=record.model,
        created_at=ids.now_s(),
        columns=columns,
        metrics=scoring.metrics,
        rows=compared(asked, scored),
        train_rows=len(others),
        retrieval=await asyncio.to_thread(retrieval_signs, others, asked, unseen=said),
    )


_POLL_S = 1.0


class AdviseTraining(CancelableTask[AdviceRecord]):
    """The `advise_training` task: takes an advice from in progress to its end."""

    failures = (DatasetTaskFailed, TrainingFailure, ModelGone)

    def __init__(self, resources: Resources) -> None:
        self._files = resources.files
        super().__init__(AdviceStore(self._files.redis), resources.leases)
        self._registry = resources.registry
        self._storage = resources.storage
        self._settings = resources.settings
        self._access = resources.access
        self._dataset_process = DatasetProcess(self._settings)

    async def _work(self, record: AdviceRecord) -> None:
        result = await self._advise(record)
        await self._store.change_own(
            record,
            lambda current: current.end(AdviceStatus.COMPLETED, ids.now_s(), result=result),
        )

    async def _advise(self, record: AdviceRecord) -> dict[str, Any]:
        # Importing it loads numpy, which the api imports only if a grader needs it.
        from service.jobs.advice.result import result_of

        file, entry = await self._inputs(record)
        async with scratch_folder(self._settings.scratch / record.id) as folder:
            data = (await self._data(file, record, folder)).without_tools()
            findings = await self._findings(file, entry, folder)
        comparison = await self._compare(record, entry, data)
        estimate, refusal = await self._estimate(record, file, entry)
        return await result_of(
            comparison,
            redis=self._files.redis,
            project_id=record.project_id,
            rows=file.rows or 0,
            findings=findings,
            estimate=estimate,
            notes=[note for note in (refusal, _left_out(file, data)) if note],
        )

    async def _inputs(self, record: AdviceRecord) -> tuple[FileRecord, BaseModelEntry]:
        file = await self._files.get(record.project_id, record.training_file, ids.now_s())
        if file is None or file.status is not FileStatus.PROCESSED:
            raise WorkFailed("file_not_found", f"The file {record.training_file} was deleted.")
        entry = self._registry.catalogue.get(record.model)
        if entry is None or record.model not in self._settings.upstreams:
            raise WorkFailed("not_served", f"No engine serves the base model {record.model}.")
        return file, entry

    async def _data(self, file: FileRecord, record: AdviceRecord, folder: Path) -> Data:
        path = await fetch_rows(self._storage, file, folder / "rows.jsonl")
        return await asyncio.to_thread(read_data, path, HeldOut())

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
        return [Finding(one.code, one.title) for one in report.advice]

    async def _compare(
        self, record: AdviceRecord, entry: BaseModelEntry, data: Data
    ) -> Comparison | None:
        engine = EvaluationEngine(
            self._access.calls(record.project_id, record.key_id),
            record.model,
            concurrency=self._settings.eval_requests_at_once,
            answers_at_once=answers_at_once(self._settings, entry, data),
        )
        try:
            async with Sandbox() as sandbox:
                scoring = Scoring(data.rows, sandbox)
                return await measure(record, entry, data.training, engine=engine, scoring=scoring)
        except EngineAway as e:
            message = f"The engine of {record.model} gave no answers: {e}."
            raise WorkFailed("engine_unavailable", message) from e

    async def _estimate(
        self, record: AdviceRecord, file: FileRecord, entry: BaseModelEntry
    ) -> tuple[dict[str, Any] | None, str | None]:
        """Return the estimate of a job with default settings, or the reason why there is none."""
        job = _job(record, method_of(file))
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
                return None, f"A job would be refused: {e.message}"
            else:
                return found.model_dump(mode="json"), None


def method_of(file: FileRecord) -> MethodName:
    """Return the training method for the rows of a file."""
    found = (name for name, method in METHODS.items() if method.row_format == file.row_format)
    return next(found, "supervised")


def _job(record: AdviceRecord, method: MethodName) -> JobRecord:
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


def _left_out(file: FileRecord, data: Data) -> str | None:
    count = (file.rows or 0) - len(data.training)
    if count <= 0:
        return None
    return f"{count} rows use tools or have no text answer, and were left out."
