"""Stores what the trainer of an attempt reports: events, metrics, checkpoints, model and outcome.

Every write checks the attempt number in its own transaction and is rejected once the job has moved
on. An attempt that was presumed dead therefore cannot write anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Any

from service.core import clock, ids, metrics
from service.core.redis import REDIS_ERRORS
from service.files.records import Files
from service.jobs import checkpoints, lifecycle, recovery
from service.jobs.attempt.pacing import Pacing
from service.jobs.attempt.progress import StepProgress
from service.jobs.evaluation.records import Evaluations, JobEvaluation
from service.jobs.planning.machines import can_shard
from service.jobs.planning.memory_plan import describe_settings, smaller_plan
from service.jobs.planning.speed import SpeedKey, Speeds
from service.jobs.records import CheckpointRecord, JobFailure, JobRecord, Jobs, NewEvent
from service.jobs.result_files import write_results
from service.models.adapters import note_rank, rank_of
from service.models.records import ModelRecord, checkpoint_name, model_name
from service.models.registry import ModelRegistry
from service.training.contract.methods import METHODS
from service.training.contract.protocol import CheckpointSaved, Failed, Started, StepDone, Succeeded
from service.training.loop.estimate import Device


class Outcome(StrEnum):
    """Outcome of an attempt."""

    FINISHED = "finished"  # the job has a final status, already recorded
    STOPPED = "stopped"  # stopped on request; progress is stored
    REQUEUED = "requeued"  # the next attempt uses other settings, already recorded
    LOST = "lost"  # the trainer died; another attempt may succeed


class AttemptRecorder:
    """Writes the records of one attempt at a job."""

    def __init__(
        self,
        job: JobRecord,
        *,
        jobs: Jobs,
        files: Files,
        registry: ModelRegistry,
        device_name: str,
        device: Device = "cpu",
    ) -> None:
        self.job = job
        self._device_name = device_name
        self._device = device
        self.model = model_name(job.model, job.project_name, job.suffix or "", job.model_tag)
        self._jobs = jobs
        self._files = files
        self._registry = registry
        self._storage = files.storage
        self._progress = StepProgress()
        self.pacing: Pacing | None = None
        self.gpu_fault: str | None = None
        self._evaluations = Evaluations(jobs.redis)
        self._evaluation: JobEvaluation | None = None

    async def record_start(self, message: Started) -> None:
        """Record that the model and the data are loaded."""
        self._progress.begin(message)
        if self.pacing:
            self.pacing.begin()
        await self._change(lambda job: lifecycle.set_choices(job, self.job, message.model_dump()))
        start = f"resuming at step {message.resumed_step}, " if message.resumed_step else ""
        await self.event(
            f"Training started: {start}{message.total_steps} steps over {message.examples} "
            f"examples on {message.device} in {message.dtype}, "
            f"{message.trainable_parameters:,} trainable parameters",
            data=message.model_dump(exclude={"type"}, exclude_none=True),
        )

    async def record_step(self, message: StepDone) -> None:
        """Record a completed optimizer step."""
        self._progress.advance(message)
        if self.pacing:
            self.pacing.step(message)
        metrics.TRAIN_LOSS.cell().set(message.train_loss)
        if message.train_reward_mean is not None:
            metrics.TRAIN_REWARD.cell().set(message.train_reward_mean)
        metrics.TRAIN_TOKENS_PER_SECOND.cell().set(message.tokens_per_second)
        metrics.TRAINED_TOKENS.cell().inc(self._progress.new_tokens)
        if not self._progress.is_reported(message):
            return
        finish = self._progress.estimated_finish(clock.now_s())

        def change(job: JobRecord) -> JobRecord:
            return lifecycle.require_running(job, self.job).model_copy(
                update={
                    "trained_tokens": message.trained_tokens,
                    "estimated_finish": finish,
                }
            )

        await self._change(
            change,
            NewEvent(
                message=f"Step {message.step}/{message.total_steps}: {_describe_step(message)}",
                type="metrics",
                data={
                    **message.model_dump(exclude={"type"}, exclude_none=True),
                    **self._progress.interval.take(),
                },
            ),
        )

    async def record_checkpoint(self, step: int, folder: Path, message: CheckpointSaved) -> None:
        """Store a checkpoint from the local disk and register it as a model."""
        name = checkpoint_name(self.model, step)
        rank = await asyncio.to_thread(rank_of, folder)
        stored = await checkpoints.put_checkpoint(
            self._storage, self.job, step, folder, self._meta(name, step)
        )
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        record = CheckpointRecord(
            # One ID per step of an attempt makes a repeated write idempotent.
            id=f"{ids.CHECKPOINT}{self.job.id.removeprefix(ids.JOB)}a{self.job.attempt}s{step}",
            project_id=self.job.project_id,
            created_at=clock.now_s(),
            job_id=self.job.id,
            attempt=self.job.attempt,
            step=step,
            model=name,
            adapter=stored.adapter,
            state=stored.state,
            metrics={"step": step} | message.metrics.model_dump(),
        )
        model = self._model_record(name, stored.adapter, stored.manifest.digest, step, True)
        records = self._jobs.checkpoints(self.job.id)
        before = await records.page(self.job.project_id, limit=100)
        same_step = [c for c in before.items if c.step == step]

        def also(pipe: Any) -> None:
            for old in same_step:
                pipe.delete(records.key(old.project_id, old.id))
                pipe.zrem(records.index(old.project_id), old.id)
            records.add(pipe, record)
            if not same_step:
                self._registry.add(pipe, model)
                note_rank(pipe, self.job.model, rank)

        await self._change(
            lambda job: lifecycle.record_progress(job, self.job),
            NewEvent(message=f"Checkpoint saved at step {step}", data={"step": step}),
            *self._pacing_events(),
            also=also,
        )
        older = [c for c in before.items if c.step < step]
        await checkpoints.delete_old_states(self._storage, older)

    def _pacing_events(self) -> list[NewEvent]:
        """Return the event about the time that a paced training gave to chats, if it is paced."""
        if self.pacing is None:
            return []
        message, data = self.pacing.summary()
        return [NewEvent(message=message, data=data)]

    async def record_success(self, message: Succeeded) -> None:
        """Store the final adapter, then complete the job and register its model atomically."""
        artifact, manifest = await checkpoints.put_adapter(
            self._storage,
            self.job,
            Path(message.adapter_path),
            self._meta(self.model, message.final_step),
            Path(message.replay_path) if message.replay_path else None,
        )
        results = await write_results(self.job, self._jobs, self._files)
        model = self._model_record(self.model, artifact, manifest.digest, message.final_step, False)
        await self._change(
            lambda job: lifecycle.succeed(
                job,
                self.job,
                model=self.model,
                adapter=artifact,
                result_files=(results.id,),
                trained_tokens=message.trained_tokens,
                now_s=clock.now_s(),
            ),
            NewEvent(
                message=f"New fine-tuned model created: {self.model}",
                data={"code": "model_created", "model": self.model},
            ),
            *self._pacing_events(),
            NewEvent(message="The job has successfully completed", data={"code": "completed"}),
            also=lambda pipe: self._add_model(pipe, model),
        )
        await self._evaluate()
        if (speed := self._progress.tokens_per_second) is not None:
            kind = SpeedKey.for_job(self.job, self._device_name)
            await Speeds(self._jobs.redis).record(kind, speed)

    def _add_model(self, pipe: Any, model: ModelRecord) -> None:
        """Register the finished model, and its evaluation if the job holds rows out."""
        self._registry.add(pipe, model)
        job = self.job
        if job.validation_file is None and job.hyperparameters.validation_share is None:
            return
        if not METHODS[job.method].is_evaluated:
            return
        self._evaluation = JobEvaluation(
            id=job.id,
            project_id=job.project_id,
            created_at=clock.now_s(),
            model=model.id,
            artifact=model.artifact,
        )
        self._evaluations.add(pipe, self._evaluation)

    async def _evaluate(self) -> None:
        """Enqueue the evaluation. If Redis is down, the reconciler does so later."""
        if self._evaluation is not None:
            with contextlib.suppress(*REDIS_ERRORS):
                await self._evaluations.enqueue(self._evaluation)

    async def record_failure(self, message: Failed) -> Outcome:
        """Handle a trainer failure: fail the job, or allow another attempt if that may succeed."""
        if message.code == "invalid_checkpoint":
            await checkpoints.forget_newest_checkpoint(self._jobs, self.job)
            text = f"The newest checkpoint was discarded: {message.message}"
            await self.event(text, "warn")
            return Outcome.LOST
        if message.code in ("gpu_unavailable", "interrupted"):
            is_of_gpu = message.code == "gpu_unavailable"
            self.gpu_fault = message.message if is_of_gpu else None
            await self.event(message.message, "warn", {"code": message.code} if is_of_gpu else {})
            return Outcome.LOST
        if message.code == "out_of_memory":
            return await self._out_of_memory(message)
        await self.fail(JobFailure(code=message.code, message=message.message, param=message.param))
        return Outcome.FINISHED

    async def _out_of_memory(self, message: Failed) -> Outcome:
        """Retry from the latest checkpoint with a smaller plan and the same batches."""
        what = message.message.partition(". ")[0]
        batch_size, is_sharded = self.job.resolved.batch_size, self.job.sharding == "fsdp"
        plan = smaller_plan(
            retries=self.job.memory_retries,
            gradient_checkpointing=self.job.gradient_checkpointing,
            suggested_tokens=message.suggested_tokens_at_once,
            can_move_inputs=self._device == "cuda" and not self.job.inputs_on_host,
            can_shard=not is_sharded and await can_shard(self._jobs.redis, batch_size),
        )
        if plan is None:
            text = (
                f"{what}. Set a smaller max_seq_length, or quantization to nf4; or ask the "
                f"operator to lower FINETUNED_TOKENS_AT_ONCE or to use a larger machine."
            )
            await self.fail(JobFailure(code=message.code, message=text, param=message.param))
            return Outcome.FINISHED
        metrics.JOB_ATTEMPTS_LOST.cell("out_of_memory").inc()
        await self._change(
            lambda job: lifecycle.retry_smaller(job, self.job, plan),
            NewEvent(
                message=(
                    f"{what}. Attempt {self.job.attempt + 1} continues {describe_settings(plan)}, "
                    "with the same batches and the same result"
                ),
                level="warn",
                data={"code": "out_of_memory", **plan._asdict()},
            ),
        )
        return Outcome.REQUEUED

    async def fail(self, failure: JobFailure, data: dict[str, Any] | None = None) -> None:
        """Fail the job; `data` is added to its event."""
        await recovery.fail(self._jobs, self.job, failure, data)

    async def event(
        self, message: str, level: Any = "info", data: dict[str, Any] | None = None
    ) -> None:
        """Add an event to the job."""
        await self._change(
            lambda job: lifecycle.require_running(job, self.job),
            NewEvent(message=message, level=level, data=data or {}),
        )

    async def _change(self, change: Any, *events: NewEvent, also: Any = lambda _: None) -> None:
        await self._jobs.change(
            self.job.project_id, self.job.id, change, events=lambda _: events, also=also
        )

    def _meta(self, name: str, step: int) -> dict[str, Any]:
        """Return the metadata needed to rebuild the model's record from storage alone."""
        return {
            "model": name,
            "base_model": self.job.model,
            "project_id": self.job.project_id,
            "job_id": self.job.id,
            "attempt": self.job.attempt,
            "step": step,
            "seed": self.job.seed,
            "training_file": self.job.training_file,
            "mixed_files": [mixed.model_dump() for mixed in self.job.mixed_files],
            "hyperparameters": self.job.hyperparameters.model_dump(mode="json"),
            "gate": self.job.gate,
            "created_by": self.job.created_by or self.job.key_id,
        }

    def _model_record(
        self, name: str, artifact: str, digest: str, step: int, checkpoint: bool
    ) -> ModelRecord:
        return ModelRecord(
            id=name,
            project_id=self.job.project_id,
            created_at=clock.now_s(),
            base_model=self.job.model,
            job_id=self.job.id,
            artifact=artifact,
            digest=digest,
            step=step,
            checkpoint=checkpoint,
            key_id=self.job.key_id,
            created_by=self.job.created_by or self.job.key_id,
            gate=self.job.gate,
        )


def _describe_step(message: StepDone) -> str:
    """Return the losses or mean rewards of a step, for its event."""
    if message.train_reward_mean is not None:
        name, figures = "reward", (message.train_reward_mean, message.valid_reward_mean)
    else:
        name, figures = "loss", (message.train_loss, message.valid_loss)
    parts = zip(("training", "validation"), figures, strict=True)
    return ", ".join(f"{of} {name}={value:.2f}" for of, value in parts if value is not None)
