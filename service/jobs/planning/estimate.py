"""Estimates for `POST /v1/fine_tuning/estimate`: the cost of a job before it is created."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, Field

from service.config import Settings
from service.core import ids
from service.core.errors import BadRequest, Unavailable
from service.core.redis import Client
from service.curation.measure import measure_task, measures_of
from service.curation.records import Tasks, TaskState
from service.datasets.contract import Measures
from service.files.records import FileRecord, Files, FileStatus
from service.jobs.planning.hyperparameters import Base, Data, resolve
from service.jobs.planning.machines import Planned, planned, shape_of, trainers
from service.jobs.planning.memory_plan import Training
from service.jobs.planning.speed import SpeedKey, Speeds
from service.jobs.planning.tool_support import CODE as TOOLS_CODE
from service.jobs.planning.tool_support import tools_refusal
from service.jobs.records import JobRecord
from service.jobs.schemas import shown
from service.models.catalogue import BaseModelEntry
from service.training.loop.estimate import estimate_run

_WAIT_S, _POLL_S = 10.0, 0.1
_START_S = 20  # from the queue to the first step, mostly loading the model


class MemoryObject(BaseModel):
    """Peak memory of a training step, in bytes."""

    weights: int
    adapter: int
    optimizer: int
    gradients: int
    activations: int
    logits: int
    overhead: int
    total: int = Field(description="Sum of the parts above plus the trainer process itself.")
    available: int | None = Field(
        description="Memory available on the worker. Null if the worker does not report it."
    )


class DurationObject(BaseModel):
    """Estimated duration of the training from start to end, in seconds."""

    expected: int
    low: int
    high: int
    basis: Literal["past_jobs", "model_size"] = Field(
        description="Basis of the estimate: `past_jobs` (measured on `jobs` similar past jobs) or "
        "`model_size` (accurate only to an order of magnitude)."
    )
    jobs: int


class EstimateObject(BaseModel):
    """Estimate of the steps, tokens, memory and duration of a job."""

    object: Literal["fine_tuning.estimate"] = "fine_tuning.estimate"
    model: str
    method: str
    hyperparameters: dict[str, Any] = Field(
        description="Hyperparameters, with `auto` values resolved."
    )
    reasons: list[str]
    rows: int
    steps: int
    trained_tokens: int
    device: str | None = Field(
        description="Device name of the online worker with the most memory to spare. Null if no "
        "worker is online."
    )
    memory: MemoryObject | None = Field(
        description="Memory estimate for that worker. Null if no worker is online."
    )
    fits: bool | None
    advice: str | None = Field(description="Change that would make the job fit the worker.")
    duration: DurationObject | None


class Estimates:
    """Estimator for jobs; it stores no jobs or estimates."""

    def __init__(self, redis: Client, files: Files, settings: Settings) -> None:
        self._redis = redis
        self._files = files
        self._tasks = Tasks(redis)
        self._settings = settings

    async def of(self, job: JobRecord, entry: BaseModelEntry) -> EstimateObject:
        """Estimate a validated job that is not created.

        Raises BadRequest if the file is invalid or the base model cannot be trained on it, and
        Unavailable while the file is still processing.
        """
        file, measures = await self._measured(job, entry)
        if (refusal := tools_refusal(measures, job.model)) is not None:
            raise BadRequest(refusal, param="model", code=TOOLS_CODE)
        rows = file.rows or 0
        longest = measures.longest if measures else None
        resolved = resolve(
            job.hyperparameters,
            method=job.method,
            data=Data(rows, longest, measures.p95 if measures else None),
            base=Base(entry.context_length, entry.parameters),
        )
        chosen = resolved.chosen
        length = int(chosen.max_seq_length)
        run = estimate_run(
            rows=rows,
            tokens=_tokens(measures, rows, length),
            n_epochs=int(chosen.n_epochs),
            batch_size=int(chosen.batch_size),
            validation_share=chosen.validation_share or 0.0,
        )
        shape = shape_of(entry)
        there = None
        if shape is not None:
            training = Training(chosen, job.method, longest, self._settings.tokens_at_once)
            there = planned(training, shape, await trainers(self._redis))
        return EstimateObject(
            model=job.model,
            method=job.method,
            hyperparameters=shown(job.method, chosen),
            reasons=list(resolved.reasons),
            rows=rows,
            steps=run.steps,
            trained_tokens=run.tokens,
            device=there.worker.device_name if there else None,
            memory=_memory(there),
            fits=there.plan.fits if there else None,
            advice=there.advice if there else None,
            duration=await self._duration(job, entry, there, run.tokens),
        )

    async def _measured(
        self, job: JobRecord, entry: BaseModelEntry
    ) -> tuple[FileRecord, Measures | None]:
        async with asyncio.timeout(_WAIT_S + 1):
            for _ in range(int(_WAIT_S / _POLL_S)):
                file = await self._files.get(job.project_id, job.training_file, ids.now_s())
                if file is None or file.status is FileStatus.ERROR:
                    raise BadRequest(
                        (file and file.status_details) or "The training file was deleted.",
                        param="training_file",
                        code="invalid_training_file",
                    )
                if file.status is FileStatus.PROCESSED:
                    task = await self._tasks.asked_for(measure_task(file, entry))
                    if task.state is not TaskState.IN_PROGRESS:
                        return file, measures_of(task)
                await asyncio.sleep(_POLL_S)
        raise Unavailable("The training file is still being checked. Try again in a moment.")

    async def _duration(
        self, job: JobRecord, entry: BaseModelEntry, there: Planned | None, tokens: int
    ) -> DurationObject | None:
        parameters = entry.parameters
        if there is None or parameters is None:
            return None
        kind = SpeedKey(
            there.worker.device_name, job.model, job.method, job.hyperparameters.quantization
        )
        speed = await Speeds(self._redis).expected(kind, there.worker, parameters)
        return DurationObject(
            expected=_START_S + round(tokens / speed.expected),
            low=round(tokens / speed.high),
            high=_START_S + round(tokens / speed.low),
            basis="past_jobs" if speed.jobs else "model_size",
            jobs=speed.jobs,
        )


def _tokens(measures: Measures | None, rows: int, length: int) -> int:
    """Return the tokens per epoch with rows truncated at `length`.

    Without measures, this is the upper bound.
    """
    if measures is None:
        return rows * length
    spread = [min(tokens, length) for tokens in measures.percentiles[1:]]
    whole = sum(measures.percentiles[1:])
    return round(measures.tokens * sum(spread) / max(whole, 1))


def _memory(there: Planned | None) -> MemoryObject | None:
    if there is None:
        return None
    parts = asdict(there.plan.memory)
    return MemoryObject(**parts, total=there.plan.needed, available=there.plan.available)
