"""The task that works out an advice: it asks the engine, and reads the report and the estimate."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from service.core import ids
from service.core.errors import BadRequest, NotReady
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.datasets.contract import ReportSpec
from service.files.curation.child_runner import Desk, DeskFailed
from service.files.curation.scratch import fetch, fetch_rows, scratch_folder
from service.files.records import FileRecord, FileStatus
from service.grading.sandbox.sandbox import Sandbox
from service.inference.background.calls import ModelGone
from service.inference.background.engine_task import CancelableTask, Resources
from service.jobs.advice.measure import measure
from service.jobs.advice.records import AdviceFailure, AdviceRecord, AdviceStore, AdviceSuperseded
from service.jobs.evaluation.engine import EngineAway, EvaluationEngine
from service.jobs.evaluation.examples import Data, answers_at_once, read_data
from service.jobs.evaluation.job_data import HeldOut
from service.jobs.evaluation.scoring import Scoring
from service.jobs.planning.job_plan import estimate
from service.jobs.records import JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.contract.failures import TrainingFailure
from service.training.contract.hyperparameters import REQUESTED
from service.training.contract.methods import METHODS, MethodName
from service.verdict.comparison import Comparison
from service.verdict.results import Finding

log = logging.getLogger(__name__)
_POLL_S = 1.0


class _Failed(Exception):
    """The advice fails for a reason that its owner can change."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.failure = AdviceFailure(code=code, message=message)


class AdviseTraining(CancelableTask[AdviceRecord]):
    """The `advise_training` task: takes an advice from in progress to its end."""

    superseded = AdviceSuperseded

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self._desk = Desk(self._settings)
        self._advices = AdviceStore(self._files.redis)

    async def _find(self, project_id: str, subject: str) -> AdviceRecord | None:
        return await self._advices.get(project_id, subject)

    async def _hand_back(self, record: AdviceRecord) -> None:
        await self._advices.hand_back(record)

    async def _work(self, record: AdviceRecord) -> None:
        try:
            result = await self._advise(record)
        except _Failed as e:
            await self._advices.end(record, error=e.failure)
        except (DeskFailed, TrainingFailure, ModelGone) as e:
            await self._advices.end(record, error=AdviceFailure(code=e.code, message=e.message))
        except (*REDIS_ERRORS, StorageError, Missing, AdviceSuperseded):
            raise  # retried later, or no longer relevant
        except Exception:
            # An internal error: report it once instead of retrying forever.
            log.exception("%s failed", record.id)
            message = f"The service failed on this advice. Give the operator its ID: {record.id}."
            failure = AdviceFailure(code="internal_error", message=message)
            await self._advices.end(record, error=failure)
        else:
            await self._advices.end(record, result=result)

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
            raise _Failed("file_not_found", f"The file {record.training_file} was deleted.")
        entry = self._registry.catalogue.get(record.model)
        if entry is None or record.model not in self._settings.upstreams:
            raise _Failed("not_served", f"No engine serves the base model {record.model}.")
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
            format=self._desk.format_of(file.reading),
            result=folder / "report.json",
            tokenizers={entry.id: tokenizer} if tokenizer.is_file() else {},
            context_lengths=(entry.context_length,),
        )
        report = await self._desk.run(spec)
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
            raise _Failed("engine_unavailable", message) from e

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
