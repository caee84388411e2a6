"""Runs one attempt at a training: writes its spec and local files, and runs the trainer process.

The worker never imports torch. `recorder.py` stores what the child process reports.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from service import offline
from service.core import clock, local_disk
from service.core.child import Child, environment
from service.core.storage import StorageCorrupt
from service.files.records import FileRecord
from service.fleet.workers import Capacity
from service.grading.check import judges
from service.inference.background.calls import Resources
from service.inference.chat_load import ChatLoad
from service.inference.upstreams import Upstreams
from service.jobs import graders
from service.jobs.attempt.gpu_lock import GpuLock
from service.jobs.attempt.pacing import Pacing, chat_budget_ms
from service.jobs.attempt.progress import Phases
from service.jobs.attempt.recorder import AttemptRecorder, Outcome
from service.jobs.attempt.reinforcement.rounds import Rounds, create_rounds
from service.jobs.attempt.serving_check import ServingCheck
from service.jobs.checkpoints import get_newest_checkpoint, passport_machine, write_passport
from service.jobs.graders import parse_grader
from service.jobs.planning.mixture import build_mixture, join_rows, training_files
from service.jobs.records import JobFailure, JobRecord, Jobs
from service.models.adapter_check import AdapterMismatch, BaseLayout, check_adapter
from service.models.catalogue import BaseModelEntry
from service.training.contract.failures import has_printed_out_of_memory
from service.training.contract.methods import METHODS
from service.training.contract.protocol import (
    EXIT_FAILED,
    CheckpointSaved,
    Failed,
    Message,
    Noted,
    Purpose,
    SamplesWanted,
    Started,
    StepDone,
    StopCommand,
    Stopped,
    Succeeded,
    Warned,
    encode,
    parse_message,
)
from service.training.contract.spec import MixedRows, Sampling, TrainSpec
from service.training.parallel.launcher import Cluster

log = logging.getLogger(__name__)

# Checkpoints per run: more if the validation loss decides, so that it is measured more often.
_CHECKPOINTS, _EVALUATIONS = 3, 10
_PROBE_ROWS = 4
_TRAINER_EXIT_S = 30.0
_NO_MEMORY = Failed(
    code="out_of_memory",
    message="Not enough memory on the GPU, for a computation of bitsandbytes.",
)


class Untrainable(Exception):
    """Neither this nor another attempt can train the job; `failure` has the reason."""

    def __init__(self, failure: JobFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class TrainingAttempt:
    """One run of the trainer for one job."""

    def __init__(
        self,
        job: JobRecord,
        entry: BaseModelEntry,
        jobs: Jobs,
        resources: Resources,
        *,
        machine: Capacity,
        upstreams: Upstreams,
        chats: ChatLoad,
    ) -> None:
        self.job = job
        settings = resources.settings
        self._resources = resources
        self._gpu_lock = GpuLock(settings)
        self._machine = machine
        self._entry = entry
        self._jobs = jobs
        self._storage = resources.storage
        self._settings = settings
        self._recorder = AttemptRecorder(
            job,
            jobs=jobs,
            files=resources.files,
            registry=resources.registry,
            device=machine.device,
            device_name=machine.device_name,
        )
        self._budget_ms = chat_budget_ms(settings)
        self._pacing = Pacing(chats, self._budget_ms) if self._budget_ms else None
        self._recorder.pacing = self._pacing
        self._serving_check = ServingCheck(job, self._recorder, upstreams, settings)
        self._upstreams = upstreams
        self._rounds: Rounds | None = None
        self._dir = settings.scratch / job.id / f"a{job.attempt}"
        self._child: Child | None = None
        self._is_stopping = False
        self._data: dict[str, Any] = {}  # provenance for the passport
        self._row_files: dict[Purpose, Path] = {}
        self._phases = Phases()
        self._outcome = Outcome.LOST

    @property
    def gpu_fault(self) -> str | None:
        """Why the worker's GPUs cannot be used, if the trainer said so."""
        return self._recorder.gpu_fault

    async def run(self) -> Outcome:
        """Run the training and return its outcome. Raises AttemptSuperseded."""
        async with local_disk.claimed(self._dir.parent):
            return await self._run()

    async def _run(self) -> Outcome:
        self._dir.mkdir()
        try:
            try:
                spec_file = await self._write_spec()
                self._rounds = await self._prepare_rounds()
            except Untrainable as e:
                await self._recorder.fail(e.failure)
                return Outcome.FINISHED
            async with self._gpu_lock:
                return await self._train(spec_file)
        finally:
            self._phases.end()

    async def _train(self, spec_file: Path) -> Outcome:
        await self._report_gpu_lock()
        if self._is_stopping:
            return Outcome.STOPPED
        self._phases.enter("loading")
        self._child = await self._start_trainer(spec_file)
        if self._is_stopping:  # a stop may arrive while the child is starting
            await self._child.send(encode(StopCommand()))
        try:
            async with self._report_chats(self._child), self._answer_rounds(self._child):
                async for line in self._child.lines():
                    if self._outcome is not Outcome.FINISHED:  # else written before it was killed
                        await self._handle(parse_message(line))
            code = await self._child.wait()
        finally:
            await self._child.kill()
        if self._rounds is not None and self._rounds.has_failed:
            self._outcome = Outcome.FINISHED
        if self._outcome is Outcome.LOST:
            await self._end_after_death(code)
        return self._outcome

    async def _start_trainer(self, spec_file: Path) -> Child:
        return await Child.start(
            [sys.executable, "-m", "service.training", str(spec_file), *self._cluster()],
            env=environment() | {**offline.VARIABLES, "PYTHONUNBUFFERED": "1"},
            stderr=self._dir / "trainer.log",
        )

    def _report_chats(self, child: Child) -> contextlib.AbstractAsyncContextManager[None]:
        return self._pacing.report_chats_to(child) if self._pacing else contextlib.nullcontext()

    async def fail(self, failure: JobFailure) -> None:
        """Fail the job after `run` has raised. Raises AttemptSuperseded."""
        await self._recorder.fail(failure)

    def _answer_rounds(self, child: Child) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext() if self._rounds is None else self._rounds.answer(child)

    async def stop(self) -> None:
        """Tell the trainer to save a checkpoint and exit. Kills it after the grace period."""
        self._is_stopping = True
        child = self._child
        if child is None:
            return
        await child.send(encode(StopCommand()))
        try:
            async with asyncio.timeout(self._settings.stop_grace_s):
                await child.wait()
        except TimeoutError:
            log.warning("the trainer did not stop in time and is killed")
            await child.kill()

    async def record_gpu_fault(self, fault: str) -> None:
        """Record that a GPU failed while the attempt ran on it. The caller then kills it."""
        text = f"A GPU of the worker failed: {fault}. The worker takes no other training on it"
        await self._recorder.event(text, "warn", {"code": "gpu_failed", "gpu": fault})

    async def kill(self) -> None:
        """Kill the trainer immediately. Progress since its last checkpoint is lost."""
        if self._child is not None:
            await self._child.kill()

    async def _write_spec(self) -> Path:
        path = self._dir / "spec.json"
        spec = await self._build_spec(
            resume_from=await get_newest_checkpoint(
                self._storage, self._jobs, self.job, self._dir, warn=self._warn
            ),
            replay_windows=0 if self.job.grader else self._settings.replay_windows,
        )
        path.write_text(spec.model_dump_json(), encoding="utf-8")
        return path

    async def _build_spec(self, **more: Any) -> TrainSpec:
        """Download what the trainer reads, and return its spec with the fields of `more`."""
        job, chosen = self.job, self.job.resolved
        training, mixture = await self._training_rows()
        validation = None
        if job.validation_file is not None:
            record, validation = await self._local_rows(
                job.validation_file, "validation_file", "validation"
            )
            self._data["validation"] = _provenance(record)
        self._row_files = {"training": training, "validation": validation or training}
        return TrainSpec(
            job_id=job.id,
            attempt=job.attempt,
            base_model=job.model,
            base_model_path=self._entry.path,
            training_file=training,
            mixture=mixture,
            validation_file=validation,
            keeps_test_rows=job.keeps_test_rows,
            output_dir=self._dir / "out",
            seed=job.seed,
            method=METHODS[job.method].spec_name,
            hyperparameters=chosen,
            warm_start_path=await self._warm_start(chosen.warm_start),
            template_date=job.template_date,
            n_checkpoints=_EVALUATIONS if chosen.selects else _CHECKPOINTS,
            tokens_at_once=job.tokens_at_once or self._settings.tokens_at_once,
            gradient_checkpointing=job.gradient_checkpointing,
            kept_layers=job.kept_layers,
            inputs_on_host=job.inputs_on_host,
            max_memory_bytes=self._settings.trainer_memory_bytes,
            probe_rows=_PROBE_ROWS,
            chat_budget_ms=self._budget_ms,
            sampling=self._sampling,
            device=self._machine.device,
            rank_timeout_s=self._settings.trainer_rank_timeout_s,
            **self._devices(chosen.batch_size),
            **more,
        )

    async def _training_rows(self) -> tuple[Path, tuple[MixedRows, ...]]:
        """Download the rows of all training files to one file."""
        files, records, paths = training_files(self.job), [], []
        for place, file in enumerate(files):
            record, path = await self._local_rows(file.id, file.param, f"training-{place}")
            records.append(record)
            paths.append(path)
        self._data["training"] = _provenance(records[0])
        if len(files) > 1:
            self._data["mixed"] = [
                {**_provenance(record), "weight": file.weight}
                for file, record in zip(files[1:], records[1:], strict=True)
            ]
        joined = await asyncio.to_thread(join_rows, paths, self._dir / "training.jsonl")
        return joined, build_mixture(files, records)

    async def _local_rows(self, file_id: str, param: str, name: str) -> tuple[FileRecord, Path]:
        """Download the rows of a file."""
        record = await self._resources.files.get(self.job.project_id, file_id, clock.now_s())
        if record is None:
            message = f"The file {file_id} was deleted before the training could read it."
            raise Untrainable(JobFailure(code="file_not_found", message=message, param=param))
        path = self._dir / f"{name}.jsonl"
        if await self._storage.get_file(record.canonical_key, path) != record.canonical:
            raise StorageCorrupt(f"the rows of {file_id} do not match what its check wrote")
        return record, path

    @property
    def _sampling(self) -> Sampling:
        """What samples answers: the engine, unless it sleeps or none serves the model."""
        if self.job.grader is None:
            return "engine"
        is_served = self.job.model in self._settings.engine_urls and not self._engines_sleep
        return "engine" if is_served else "trainer"

    @property
    def _engines_sleep(self) -> bool:
        """Whether engines sleep while the job trains."""
        return self._settings.gpu_sharing == "time-slice" and self._settings.ray_address is None

    async def _prepare_rounds(self) -> Rounds | None:
        """Return the server of the trainer's requests for samples, if the job has a grader."""
        if self.job.grader is None:
            return None
        if self._engines_sleep and any(judges(parse_grader(self.job.grader), graders.PARAM)):
            message = (
                "The grader asks a model, and the engines sleep while a job trains, because they "
                "share the GPU by time slices. Use a grader without a model, or ask the operator "
                "to serve models while jobs train."
            )
            raise Untrainable(JobFailure(code="judge_asleep", message=message, param=graders.PARAM))
        if self._sampling == "trainer":
            text = (
                "The trainer samples the answers itself, which is slower: no engine serves the "
                "base model while it trains"
            )
            await self._recorder.event(text, "warn", {"code": "trainer_samples"})
        return create_rounds(
            self.job,
            self._recorder,
            self._resources,
            rows=self._row_files,
            upstreams=self._upstreams if self._sampling == "engine" else None,
        )

    def _cluster(self) -> list[str]:
        """Return the command-line argument that names the Ray cluster, if one runs the trainer."""
        address = self._settings.ray_address
        if address is None:
            return []
        return [Cluster(address=address, device=self._settings.ray_device).model_dump_json()]

    def _devices(self, batch_size: int) -> dict[str, Any]:
        """Return the GPU count (at most one per batch row) and the sharding mode."""
        gpus = self._machine.gpus_for(batch_size)
        if self._sampling == "trainer":
            return {"gpus": 1, "sharding": "ddp"}
        if self._machine.device == "cpu":  # processes represent GPUs
            gpus = min(self._settings.trainer_gpus or 1, batch_size)
        sharding = self._settings.trainer_sharding
        if sharding == "auto":
            sharding = self.job.sharding or "ddp"
        return {"gpus": gpus, "sharding": sharding if gpus > 1 else "ddp"}

    async def _warm_start(self, name: str | None) -> Path | None:
        """Download the adapter to start from, if any, and return its folder."""
        if name is None:
            return None
        found = await self._resources.registry.find(self.job.project_id, name)
        if found is None or found.artifact is None:
            message = f"The model {name} was deleted before the training could start from it."
            param = f"method.{self.job.method}.hyperparameters.warm_start"
            raise Untrainable(JobFailure(code="model_not_found", message=message, param=param))
        folder = self._dir / "warm-start"
        manifest = await self._storage.get_folder(found.artifact, folder)
        if manifest.digest != found.digest:
            raise StorageCorrupt(f"the model {name} does not match what was registered")
        return folder

    async def _warn(self, message: str) -> None:
        await self._recorder.event(message, "warn")

    async def _handle(self, message: Message) -> None:
        match message:
            case Started():
                await self._start(message)
            case Noted() | Warned():
                level = "warn" if isinstance(message, Warned) else "info"
                await self._recorder.event(message.message, level, {"code": message.code})
            case StepDone():
                await self._recorder.record_step(message)
            case SamplesWanted():
                assert self._rounds is not None  # the job has a grader
                self._rounds.begin(message)
            case CheckpointSaved():
                if await self._admit(Path(message.path), message):
                    await self._recorder.record_checkpoint(
                        message.step, Path(message.path), message
                    )
            case Stopped():
                self._outcome = Outcome.STOPPED
            case Succeeded():
                self._phases.enter(
                    "registering", step=message.final_step, tokens=message.trained_tokens
                )
                if await self._admit(Path(message.adapter_path), message):
                    await self._give_gpu_back()
                    if await self._serving_check.passes(message):
                        await self._recorder.record_success(message)
                    self._outcome = Outcome.FINISHED
            case Failed():
                self._outcome = await self._recorder.record_failure(self._cause(message))

    async def _admit(self, adapter: Path, message: CheckpointSaved | Succeeded) -> bool:
        """Check that the engine can serve the adapter, and write its passport."""
        if not await self._fits(adapter):
            return False
        hidden = {"type", "path", "adapter_path", "replay_path"}
        run = message.model_dump(exclude=hidden, exclude_none=True)
        await asyncio.to_thread(
            write_passport,
            adapter,
            entry=self._entry,
            spec_file=self._dir / "spec.json",
            data=self._data,
            run=run,
            environment={
                **passport_machine(self._machine),
                "image": self._settings.image,
            },
        )
        return True

    async def _start(self, message: Started) -> None:
        """Check the adapter as it is before the first step, and record the start.

        A job whose adapter cannot be served thus fails before anything is computed. A run that
        continues from a checkpoint has no such adapter: that of the checkpoint was checked.
        """
        if message.adapter_path is not None:
            draft = Path(message.adapter_path)
            fits = await self._fits(draft)
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
            if not fits:
                return
        self._phases.enter("training", steps=message.total_steps, examples=message.examples)
        await self._recorder.record_start(message)

    async def _fits(self, adapter: Path) -> bool:
        """Check that the engine can serve the adapter. If not, the job fails and is stopped."""
        try:
            await asyncio.to_thread(
                check_adapter,
                adapter,
                await asyncio.to_thread(BaseLayout.read, self._entry.path),
                max_rank=self._settings.lora_rank_limit,
            )
        except AdapterMismatch as e:
            message_ = f"The serving engine cannot load the adapter: {e}."
            await self._recorder.fail(JobFailure(code="adapter_not_servable", message=message_))
            self._outcome = Outcome.FINISHED
            await self.kill()
            return False
        return True

    async def _report_gpu_lock(self) -> None:
        if not self._gpu_lock.is_shared:
            return
        if awake := self._gpu_lock.awake:
            text = f"The engine cannot be put to sleep: {', '.join(awake)}"
            await self._recorder.event(text, "warn", {"code": "engine_awake"})
        else:
            text = "The engine sleeps while the job trains"
            await self._recorder.event(text, data={"code": "engine_sleeping"})

    async def _give_gpu_back(self) -> None:
        """Wait for the trainer process to exit after training, then let the engines wake."""
        if not self._gpu_lock.is_shared or self._child is None:
            return
        try:
            async with asyncio.timeout(_TRAINER_EXIT_S):
                await self._child.wait()
        except TimeoutError:
            await self._child.kill()  # its output is already on disk
        await self._gpu_lock.release()

    def _cause(self, message: Failed) -> Failed:
        """Return the failure, or its cause if one of several processes only printed it."""
        is_known = message.code != "internal_error"
        return message if is_known or not self._has_printed_out_of_memory() else _NO_MEMORY

    def _has_printed_out_of_memory(self) -> bool:
        return has_printed_out_of_memory(_read(self._dir / "trainer.log"))

    async def _end_after_death(self, code: int) -> None:
        """Record that the trainer ended without a final message."""
        if code == EXIT_FAILED and self._has_printed_out_of_memory():
            self._outcome = await self._recorder.record_failure(_NO_MEMORY)
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        log.warning("the trainer %s; its last output is in the log", how)
        log_tail(self._dir / "trainer.log")
        await self._recorder.event(
            f"The trainer {how} before it finished", "warn", {"exit_code": code}
        )


def _provenance(file: FileRecord) -> dict[str, Any]:
    return {
        "file": file.id,
        "sha256": file.sha256,
        "rows_sha256": file.canonical,
        "rows": file.rows,
    }


def log_tail(path: Path) -> None:
    """Log the end of the trainer's stderr; by the trainer's own rule, it has no training text."""
    for line in _read(path).splitlines()[-20:]:
        log.warning("trainer: %s", line[:500])


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""
