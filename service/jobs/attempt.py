"""One attempt at one training: the trainer's lines become events, metrics and artifacts.

The worker never imports torch. It prepares local files, starts the trainer as a child,
and writes down what the child says. Every write names the attempt, so that nothing is
written once the job has moved on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

from service.config import Settings
from service.core import ids, metrics
from service.core.child import Child
from service.core.storage import Storage, StorageCorrupt, StorageMissing
from service.datasets import write_canonical
from service.files.records import Files
from service.jobs import artifacts, lifecycle
from service.jobs.progress import Progress
from service.jobs.records import CheckpointRecord, Failure, JobRecord, Jobs, NewEvent
from service.jobs.results import write_results
from service.models.catalogue import BaseModelEntry
from service.models.records import ModelRecord, checkpoint_name, model_name
from service.models.registry import ModelRegistry
from service.training.protocol import (
    CheckpointSaved,
    Failed,
    Message,
    Started,
    StepDone,
    StopCommand,
    Stopped,
    Succeeded,
    Warned,
    encode,
    parse_message,
)
from service.training.spec import LoraSpec, TrainSpec

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """How an attempt ended."""

    FINISHED = "finished"  # the job is final, written down
    STOPPED = "stopped"  # told to stop; progress is safe
    LOST = "lost"  # the trainer died; another attempt may succeed


class _Unfit(Exception):
    """The job cannot be trained; no other attempt could."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class Attempt:
    """One run of the trainer for one job."""

    def __init__(
        self,
        job: JobRecord,
        entry: BaseModelEntry,
        *,
        jobs: Jobs,
        files: Files,
        registry: ModelRegistry,
        storage: Storage,
        settings: Settings,
    ) -> None:
        self.job = job
        self.number = job.attempt
        self._entry = entry
        self._jobs = jobs
        self._files = files
        self._registry = registry
        self._storage = storage
        self._settings = settings
        self._dir = settings.scratch / job.id / f"a{job.attempt}"
        self._progress = Progress()
        self._child: Child | None = None
        self._outcome = Outcome.LOST
        self.model = model_name(job.model, job.project_name, job.suffix or "", job.model_tag)

    async def run(self) -> Outcome:
        """Train to an end. Raises Superseded where the job has moved on meanwhile."""
        await asyncio.to_thread(_fresh_folder, self._dir)
        try:
            try:
                spec_file = await self._write_spec()
            except _Unfit as e:
                await self._fail(e.failure)
                return self._outcome
            self._child = await Child.start(
                [sys.executable, "-m", "service.training", str(spec_file)],
                env=_trainer_env(),
                stderr=self._dir / "trainer.log",
            )
            try:
                async for line in self._child.lines():
                    await self._handle(parse_message(line))
                code = await self._child.wait()
            finally:
                await self._child.kill()
            if self._outcome is Outcome.LOST:
                await self._tell_of_death(code)
            return self._outcome
        finally:
            await asyncio.to_thread(shutil.rmtree, self._dir.parent, ignore_errors=True)

    async def stop(self) -> None:
        """Ask the trainer to keep a checkpoint and end; killed after the grace time."""
        child = self._child
        if child is None:
            return
        await child.tell(encode(StopCommand()))
        try:
            async with asyncio.timeout(self._settings.stop_grace_s):
                await child.wait()
        except TimeoutError:
            log.warning("the trainer did not stop in time and is killed")
            await child.kill()

    async def kill(self) -> None:
        """End the trainer at once; what it did since its last checkpoint is dropped."""
        if self._child is not None:
            await self._child.kill()

    async def _write_spec(self) -> Path:
        job, chosen = self.job, self.job.hyperparameters
        training = await self._local_data(job.training_file, "training")
        validation = None
        if job.validation_file is not None:
            validation = await self._local_data(job.validation_file, "validation")
        spec = TrainSpec(
            job_id=job.id,
            attempt=self.number,
            base_model=job.model,
            base_model_path=self._entry.path,
            training_file=training,
            validation_file=validation,
            output_dir=self._dir / "out",
            resume_from=await self._newest_checkpoint(),
            seed=job.seed,
            n_epochs=int(chosen.n_epochs),
            batch_size=int(chosen.batch_size),
            learning_rate=float(chosen.learning_rate),
            lora=LoraSpec.model_validate(chosen.lora.model_dump()),
            quantization=chosen.quantization,
            max_seq_length=int(chosen.max_seq_length),
            packing=chosen.packing is True,
        )
        path = self._dir / "spec.json"
        path.write_text(spec.model_dump_json(), encoding="utf-8")
        return path

    async def _local_data(self, file_id: str, name: str) -> Path:
        record = await self._files.get(self.job.project_id, file_id, ids.now_s())
        if record is None:
            message = f"The file {file_id} was deleted before the training could read it."
            raise _Unfit(Failure(code="file_not_found", message=message, param=f"{name}_file"))
        raw, canonical = self._dir / f"{name}.raw", self._dir / f"{name}.jsonl"
        if await self._storage.get_file(record.content_key, raw) != record.sha256:
            raise StorageCorrupt(f"the file {file_id} is not what was uploaded")
        await asyncio.to_thread(write_canonical, raw, canonical)
        raw.unlink()
        return canonical

    async def _newest_checkpoint(self) -> Path | None:
        """The newest checkpoint that is whole, fetched; older ones are tried in turn."""
        page = await self._jobs.checkpoints(self.job.id).page(self.job.project_id, limit=100)
        for record in sorted(page.items, key=lambda c: c.step, reverse=True):
            try:
                return await artifacts.get_checkpoint(
                    self._storage, record, self._dir / f"checkpoint-{record.step}"
                )
            except (StorageMissing, StorageCorrupt) as e:
                await self._event(f"Checkpoint {record.step} cannot be used: {e}", "warn")
        return None

    async def _handle(self, message: Message) -> None:
        match message:
            case Started():
                await self._started(message)
            case Warned():
                await self._event(message.message, "warn", {"code": message.code})
            case StepDone():
                await self._step(message)
            case CheckpointSaved():
                await self._checkpoint(message.step, Path(message.path), message)
            case Stopped():
                self._outcome = Outcome.STOPPED
            case Succeeded():
                await self._succeeded(message)
            case Failed():
                await self._failed(message)

    async def _started(self, message: Started) -> None:
        self._progress.begin(message)
        start = f"resuming at step {message.resumed_step}, " if message.resumed_step else ""
        await self._event(
            f"Training started: {start}{message.total_steps} steps over {message.examples} "
            f"examples on {message.device} in {message.dtype}, "
            f"{message.trainable_parameters:,} trainable parameters",
            data=message.model_dump(exclude={"type"}),
        )

    async def _step(self, message: StepDone) -> None:
        self._progress.advance(message)
        metrics.TRAIN_LOSS.set(message.train_loss)
        metrics.TRAIN_TOKENS_PER_SECOND.set(message.tokens_per_second)
        metrics.TRAINED_TOKENS.inc(self._progress.new_tokens)
        if not self._progress.worth_an_event(message):
            return
        finish = self._progress.estimated_finish(ids.now_s())

        def change(job: JobRecord) -> JobRecord:
            return lifecycle.fenced(job, self.number).model_copy(
                update={
                    "trained_tokens": message.trained_tokens,
                    "estimated_finish": finish,
                }
            )

        await self._change(
            change,
            NewEvent(
                message=(
                    f"Step {message.step}/{message.total_steps}: "
                    f"training loss={message.train_loss:.2f}"
                    + (
                        f", validation loss={message.valid_loss:.2f}"
                        if message.valid_loss is not None
                        else ""
                    )
                ),
                type="metrics",
                data=message.model_dump(exclude={"type"}, exclude_none=True),
            ),
        )

    async def _checkpoint(self, step: int, folder: Path, message: CheckpointSaved) -> None:
        name = checkpoint_name(self.model, step)
        stored = await artifacts.put_checkpoint(
            self._storage, self.job, self.number, step, folder, self._meta(name, step)
        )
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        record = CheckpointRecord(
            # One id for a step of an attempt, so that writing it again changes nothing.
            id=f"{ids.CHECKPOINT}{self.job.id.removeprefix(ids.JOB)}a{self.number}s{step}",
            project_id=self.job.project_id,
            created_at=ids.now_s(),
            job_id=self.job.id,
            attempt=self.number,
            step=step,
            model=name,
            adapter=stored.adapter,
            state=stored.state,
            metrics={"step": step} | message.metrics.model_dump(),
        )
        model = self._model_record(name, stored.adapter, stored.manifest.digest, step, True)
        checkpoints = self._jobs.checkpoints(self.job.id)
        before = await checkpoints.page(self.job.project_id, limit=100)
        same_step = [c for c in before.items if c.step == step]

        def also(pipe: Any) -> None:
            for old in same_step:
                pipe.delete(checkpoints.key(old.project_id, old.id))
                pipe.zrem(checkpoints.index(old.project_id), old.id)
            checkpoints.add(pipe, record)
            if not same_step:
                self._registry.add(pipe, model)

        await self._change(
            lambda job: lifecycle.progressed(job, self.number),
            NewEvent(message=f"Checkpoint saved at step {step}", data={"step": step}),
            also=also,
        )
        await self._drop_states([c for c in before.items if c.step < step])

    async def _drop_states(self, older: list[CheckpointRecord]) -> None:
        """Only the newest checkpoint is resumed from; the adapters of all stay."""
        for record in older:
            await self._storage.delete_prefix(record.state)

    async def _succeeded(self, message: Succeeded) -> None:
        artifact, manifest = await artifacts.put_adapter(
            self._storage,
            self.job,
            self.number,
            Path(message.adapter_path),
            self._meta(self.model, message.final_step),
        )
        results = await write_results(self.job, self._jobs, self._files)
        model = self._model_record(self.model, artifact, manifest.digest, message.final_step, False)
        checkpoints = await self._jobs.checkpoints(self.job.id).page(self.job.project_id, limit=100)
        await self._change(
            lambda job: lifecycle.succeed(
                job,
                self.number,
                model=self.model,
                result_files=(results.id,),
                trained_tokens=message.trained_tokens,
                now_s=ids.now_s(),
            ),
            NewEvent(message=f"New fine-tuned model created: {self.model}"),
            NewEvent(message="The job has successfully completed"),
            also=lambda pipe: self._registry.add(pipe, model),
        )
        self._outcome = Outcome.FINISHED
        metrics.JOBS.labels("succeeded").inc()
        await self._drop_states(checkpoints.items)

    async def _failed(self, message: Failed) -> None:
        if message.code == "invalid_checkpoint":
            await self._forget_newest_checkpoint(message.message)
            return
        await self._fail(Failure(code=message.code, message=message.message, param=message.param))

    async def _fail(self, failure: Failure) -> None:
        await self._change(
            lambda job: lifecycle.fail(job, self.number, failure, ids.now_s()),
            NewEvent(message=failure.message, level="error", data={"code": failure.code}),
        )
        self._outcome = Outcome.FINISHED
        metrics.JOBS.labels("failed").inc()

    async def _forget_newest_checkpoint(self, reason: str) -> None:
        """A checkpoint that no trainer can read: the next attempt uses the one before."""
        checkpoints = self._jobs.checkpoints(self.job.id)
        page = await checkpoints.page(self.job.project_id, limit=100)
        if page.items:
            newest = max(page.items, key=lambda c: c.step)
            await checkpoints.delete(newest.project_id, newest.id)
        await self._event(f"The newest checkpoint was dropped: {reason}", "warn")

    async def _tell_of_death(self, code: int) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        log.warning("the trainer %s; its last words are in the log", how)
        _log_tail(self._dir / "trainer.log")
        await self._event(f"The trainer {how} before its end", "warn", {"exit_code": code})

    async def _event(
        self, message: str, level: Any = "info", data: dict[str, Any] | None = None
    ) -> None:
        await self._change(
            lambda job: lifecycle.fenced(job, self.number),
            NewEvent(message=message, level=level, data=data or {}),
        )

    async def _change(self, change: Any, *events: NewEvent, also: Any = lambda _: None) -> None:
        await self._jobs.change(
            self.job.project_id, self.job.id, change, events=lambda _: events, also=also
        )

    def _meta(self, name: str, step: int) -> dict[str, Any]:
        """What is needed to rebuild the model's record from storage alone."""
        return {
            "model": name,
            "base_model": self.job.model,
            "project_id": self.job.project_id,
            "job_id": self.job.id,
            "attempt": self.number,
            "step": step,
            "seed": self.job.seed,
            "training_file": self.job.training_file,
            "hyperparameters": self.job.hyperparameters.model_dump(mode="json"),
        }

    def _model_record(
        self, name: str, artifact: str, digest: str, step: int, checkpoint: bool
    ) -> ModelRecord:
        return ModelRecord(
            id=name,
            project_id=self.job.project_id,
            created_at=ids.now_s(),
            base_model=self.job.model,
            job_id=self.job.id,
            artifact=artifact,
            digest=digest,
            step=step,
            checkpoint=checkpoint,
        )


def _fresh_folder(path: Path) -> None:
    """An empty folder, readable by this user alone: it will hold training text."""
    shutil.rmtree(path.parent, ignore_errors=True)
    path.mkdir(parents=True, mode=0o700)


def _trainer_env() -> dict[str, str]:
    """The child's environment: no secret of ours, no way to a model hub."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FINETUNED_", "AWS_"))}
    return kept | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def _log_tail(path: Path, lines: int = 20) -> None:
    """Copy the end of the trainer's stderr, which by its own rule holds no training text."""
    if path.exists():
        for line in path.read_text("utf-8", "replace").splitlines()[-lines:]:
            log.warning("trainer: %s", line[:500])
