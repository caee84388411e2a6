"""Records of a large project, written by the service's own record code."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.core import clock, ids, queue
from service.core.redis import Client
from service.core.storage import Storage
from service.evals.records import EvalRecord, Evals, RunRecord, Runs, RunStatus
from service.exports.records import ExportRecord, Exports, ExportStatus
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.files.uploads.records import UploadRecord, Uploads, UploadStatus
from service.jobs import lifecycle
from service.jobs.records import CheckpointRecord, JobRecord, Jobs, NewEvent, Status
from service.models.aliases.records import AliasRecord, Target
from service.models.catalogue import Catalogue
from service.models.records import ModelRecord, checkpoint_name, model_name
from service.models.registry import ModelRegistry
from service.training.contract.hyperparameters import REQUESTED

T = TypeVar("T")
BASE, PROJECT_NAME = "base", "bench"
_AT_ONCE = 50
_STEPS = range(20)
CHECKPOINTS_PER_MODEL = 9


class Fill:
    """Writes the records of one project, oldest first."""

    def __init__(self, redis: Client, storage: Storage, catalogue: Catalogue, project: str) -> None:
        self._redis = redis
        self._project = project
        self._files = Files(redis, storage)
        self._jobs = Jobs(redis)
        self._registry = ModelRegistry(redis, catalogue, cache_s=0)

    async def files(self, count: int, *, checked: bool) -> list[FileRecord]:
        """Write files. One in a thousand has the purpose of results."""
        files = [self._file(i, checked=checked) for i in range(count)]

        async def add(file: FileRecord) -> None:
            await self._files.register(file)
            if not checked:
                await self._files.checks.enqueue(file)

        await _each(files, add)
        return files

    def _file(self, number: int, *, checked: bool) -> FileRecord:
        is_result = number % 1000 == 0
        file = FileRecord(
            id=ids.new(ids.FILE),
            project_id=self._project,
            created_at=clock.now_s(),
            filename=f"support-{number}.jsonl",
            purpose=Purpose.RESULTS if is_result else Purpose.FINE_TUNE,
            bytes=1_000_000 + number,
            sha256=_digest(number),
            status=FileStatus.PROCESSED if is_result or checked else FileStatus.UPLOADED,
        )
        if file.status is FileStatus.UPLOADED or is_result:
            return file
        found = {
            "container": "jsonl",
            "encoding": "utf-8",
            "shape": "chat",
            "columns": ["messages"],
        }
        checked_fields = {
            "rows": 1000,
            "warnings": 3,
            "found": found,
            "row_format": "chat",
            "canonical": file.sha256,
        }
        return file.model_copy(update=checked_fields)

    async def jobs(self, count: int, *, ended: bool) -> list[JobRecord]:
        """Write jobs with metadata. Unfinished jobs are half in validation and half queued."""
        jobs = [self._job(i) for i in range(count)]
        queued = {"status": Status.QUEUED, "queued_at": clock.now_s()}

        async def add(job: JobRecord) -> None:
            await self._jobs.create(job, NewEvent(message="Created fine-tuning job"))
            if ended:
                await self._change(job, lambda j: lifecycle.cancel(j, clock.now_s()))
            elif int((job.metadata or {})["run"]) % 2:
                await queue.enqueue(
                    self._redis, queue.CPU, "prepare_job", job.project_id, job.id, job.attempt
                )
            else:
                await self._change(job, lambda j: j.model_copy(update=queued))

        await _each(jobs, add)
        return jobs

    async def _change(self, job: JobRecord, change: Callable[[JobRecord], JobRecord]) -> None:
        await self._jobs.change(job.project_id, job.id, change)

    def _job(self, number: int) -> JobRecord:
        return JobRecord(
            id=ids.new(ids.JOB),
            project_id=self._project,
            project_name=PROJECT_NAME,
            created_at=clock.now_s(),
            model=BASE,
            training_file=ids.new(ids.FILE),
            validation_file=None,
            suffix="support",
            seed=1,
            metadata={
                "run": str(number),
                "team": f"team-{number % 10}",
                "half": str(number % 2),
            },
            hyperparameters=REQUESTED["supervised"](),
            model_tag=ids.random_part(),
        )

    async def history_of(self, job: JobRecord, events: int, checkpoints: int) -> None:
        """Write events and checkpoints of a job."""
        async with self._redis.pipeline(transaction=True) as pipe:
            for step in range(events):
                event = NewEvent(message=f"Step {step}", type="metrics", data={"loss": 1.5})
                self._jobs.add_events(pipe, job.project_id, job.id, [event])
            for step in range(checkpoints):
                self._jobs.checkpoints(job.id).add(pipe, self._checkpoint(job, step))
            await pipe.execute()

    def _checkpoint(self, job: JobRecord, step: int) -> CheckpointRecord:
        return CheckpointRecord(
            id=ids.new(ids.CHECKPOINT),
            project_id=job.project_id,
            created_at=clock.now_s(),
            job_id=job.id,
            attempt=1,
            step=step,
            model=f"{job.id}:ckpt-step-{step}",
            adapter="a",
            state="s",
            metrics={"train_loss": 1.0},
        )

    async def models(self, count: int) -> list[ModelRecord]:
        """Write trained models, nine of ten of which are checkpoints."""
        models = [self._model(i) for i in range(count)]
        for start in range(0, count, 1000):
            async with self._redis.pipeline(transaction=True) as pipe:
                for model in models[start : start + 1000]:
                    self._registry.add(pipe, model)
                await pipe.execute()
        return models

    def _model(self, number: int) -> ModelRecord:
        tag, place = divmod(number, CHECKPOINTS_PER_MODEL + 1)
        name = model_name(BASE, PROJECT_NAME, "support", f"{tag:010d}")
        is_checkpoint = place < CHECKPOINTS_PER_MODEL  # written before the result
        return ModelRecord(
            id=checkpoint_name(name, place + 1) if is_checkpoint else name,
            project_id=self._project,
            created_at=clock.now_s(),
            base_model=BASE,
            job_id=f"ftjob-{tag:024d}",
            artifact=f"{self._project}/adapters/{number}",
            digest=_digest(number),
            step=place,
            checkpoint=is_checkpoint,
        )

    async def aliases(self, models: list[ModelRecord]) -> None:
        """Write one alias for each model."""

        async def add(model: ModelRecord) -> None:
            alias = AliasRecord(
                id=f"alias-{model.job_id}",
                project_id=self._project,
                created_at=clock.now_s(),
                updated_at=clock.now_s(),
                generation=1,
                etag=ids.random_part(),
                targets=(Target(model=model.id),),
            )
            await self._registry.aliases.create(alias)

        await _each(models, add)

    async def evals(self, count: int, runs: int) -> EvalRecord:
        """Write evals, the last of which has finished runs. One run in a hundred failed."""
        store = Evals(self._redis)
        evals = [self._eval(i) for i in range(count)]
        await _each(evals, store.create)
        last = evals[-1]

        async def add(number: int) -> None:
            failed = number % 100 == 0
            run = RunRecord(
                id=ids.new(ids.EVAL_RUN),
                project_id=self._project,
                created_at=clock.now_s(),
                eval_id=last.id,
                key_id="key",
                name=f"run {number}",
                metadata={},
                data_source={"type": "jsonl", "source": {"type": "file_id", "id": "file-x"}},
                model=None,
                status=RunStatus.FAILED if failed else RunStatus.COMPLETED,
            )
            await Runs(self._redis).collection(last.id).create(run)

        await _each(list(range(runs)), add)
        return last

    def _eval(self, number: int) -> EvalRecord:
        return EvalRecord(
            id=ids.new(ids.EVAL),
            project_id=self._project,
            created_at=clock.now_s(),
            updated_at=clock.now_s(),
            name=f"eval {number}",
            metadata={},
            item_schema={"type": "object", "properties": {"answer": {"type": "string"}}},
            include_sample_schema=False,
            testing_criteria=[
                {
                    "type": "string_check",
                    "name": "exact",
                    "input": "{{ item.answer }}",
                    "operation": "eq",
                    "reference": "yes",
                }
            ],
        )

    async def exports(self, count: int) -> None:
        """Write finished exports."""
        store = Exports(self._redis)

        async def add(number: int) -> None:
            export = ExportRecord(
                id=ids.new(ids.EXPORT),
                project_id=self._project,
                created_at=clock.now_s(),
                model="m",
                base_model=BASE,
                job_id=None,
                artifact="a",
                digest=_digest(number),
                key_id="key",
                format="adapter",
                expires_at=clock.now_s() + 3600,
                status=ExportStatus.FAILED,
            )
            await store.records.create(export)

        await _each(list(range(count)), add)

    async def uploads(self, count: int) -> None:
        """Write uploads that have ended."""
        store = Uploads(self._redis, self._files)

        async def add(number: int) -> None:
            upload = UploadRecord(
                id=ids.new(ids.UPLOAD),
                project_id=self._project,
                created_at=clock.now_s(),
                filename=f"{number}.jsonl",
                purpose=Purpose.FINE_TUNE,
                bytes=1_000_000,
                mime_type="application/jsonl",
                expires_at=clock.now_s() + 3600,
            )
            await store.end(
                await store.create(upload), UploadStatus.CANCELLED, clock.now_s() + 3600
            )

        await _each(list(range(count)), add)

    async def cleanings(self, file: FileRecord, count: int) -> None:
        """Write failed cleanings of a file."""

        async def add(number: int) -> None:
            task = Task(
                id=ids.new(ids.CLEANING),
                project_id=self._project,
                created_at=clock.now_s(),
                file_id=file.id,
                kind=TaskKind.CLEANING,
                options={"number": number},
                state=TaskState.FAILED,
            )
            await Tasks(self._redis).collection(file.id).create(task)

        await _each(list(range(count)), add)


async def _each(items: list[T], write: Callable[[T], Awaitable[object]]) -> None:
    for start in range(0, len(items), _AT_ONCE):
        await asyncio.gather(*map(write, items[start : start + _AT_ONCE]))


def _digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()
