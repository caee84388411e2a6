"""Computes steps of a finished training again, and compares them with what is recorded of it.

The trainer itself does this: in the window that leads to the adapter, and in others that are drawn
at random, each from the state that the training kept before it. What is compared, from the least to
the most costly to forge: the stored adapter with its registration, the settings and rows with the
adapter's passport, the job's metrics with the steps that the trainer wrote, and losses, gradients
and weights with those computed now.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.core import clock, local_disk
from service.core.storage import StorageCorrupt, StorageMissing
from service.fleet.workers import Capacity
from service.inference.background.calls import Resources
from service.inference.chat_load import ChatLoad
from service.inference.upstreams import Upstreams
from service.jobs.attempt.trainer_process import TrainingAttempt, Untrainable, log_tail
from service.jobs.checkpoints import PASSPORT, own_libraries, passport_machine, passport_spec
from service.jobs.metric_series import latest, read_results
from service.jobs.records import (
    JobRecord,
    Jobs,
    ReplayedWindow,
    ReplayFinding,
    ReplayRecord,
    Status,
)
from service.models.adapters import load_verifying_key, signature_fault
from service.models.catalogue import BaseModelEntry
from service.models.records import ModelRecord
from service.training.contract.adapter_config import WEIGHTS
from service.training.contract.protocol import Failed, StepDone, Stopped, parse_message
from service.training.contract.replay import (
    REPLAY_FOLDER,
    StepRecord,
    Window,
    draw_windows,
    read_steps,
    windows_of,
)
from service.training.contract.spec import TrainSpec

LOSS_TOLERANCE: Final = 0.01
"""Largest relative difference of a loss on another kind of machine, or on a GPU."""
GRADIENT_TOLERANCE: Final = 0.05
WEIGHTS_TOLERANCE: Final = 0.2
"""Largest difference of the weights there, relative to their change in a window."""
KEPT_REPLAYS: Final = 10
# How a machine lays a batch out in memory, which changes results only by rounding.
_LAYOUT: Final = ("tokens_at_once", "gradient_checkpointing", "kept_layers", "inputs_on_host")
_NOT_COMPARED: Final = frozenset(
    {*_LAYOUT, "device", "gpus", "sharding", "rank_timeout_s", "chat_budget_ms"}
    | {"probe_rows", "sampling"}
)


class NotReplayable(Exception):
    """Nothing of this job can be computed again. The message says why, and what to do."""


@dataclass(frozen=True)
class Choice:
    """Which windows are computed: `count` besides the one that leads to the adapter, drawn by
    `seed`, or at random if it is None. With `steps`, only the first steps of each, as many as that.
    """

    count: int = 1
    seed: str | None = None
    steps: int | None = None


@dataclass(frozen=True)
class _Trained:
    """What is stored of a training: its adapter, what it says about each step, and the steps whose
    states were kept.
    """

    model: ModelRecord
    adapter: Path
    passport: Mapping[str, Any]
    steps: Mapping[int, StepRecord]
    states: frozenset[int]

    @property
    def adapter_step(self) -> Any:
        """The step whose weights the adapter has."""
        return self.passport["run"].get("adapter_step", max(self.steps))


class Replay(TrainingAttempt):
    """One replay of a job that succeeded. `tell` gets a line per step and window."""

    def __init__(
        self,
        job: JobRecord,
        entry: BaseModelEntry,
        jobs: Jobs,
        resources: Resources,
        *,
        machine: Capacity,
        upstreams: Upstreams,
        choice: Choice,
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(
            job, entry, jobs, resources, machine=machine, upstreams=upstreams, chats=ChatLoad()
        )
        self._dir = self._settings.scratch / f"replay-{job.id}" / "a1"
        self._choice = choice
        self._seed = choice.seed or secrets.token_hex(16)
        self._tell = tell
        self._findings: list[ReplayFinding] = []
        self._gone: list[str] = []
        self._windows: list[ReplayedWindow] = []
        self._total_windows = self._drawn = 0
        self._is_same_machine = False

    async def replay(self) -> ReplayRecord:
        """Compute the chosen windows again. Raises NotReplayable and StorageError."""
        model = await self._model()
        began = time.monotonic()
        async with local_disk.claimed(self._dir.parent):
            self._dir.mkdir()
            if (adapter := await self._adapter(model)) is not None:
                await self._compare(model, adapter)
        return ReplayRecord(
            created_at=clock.now_s(),
            outcome=self._outcome_of(),
            model=model.id,
            digest=model.digest,
            seed=self._seed,
            is_repetition=self._choice.seed is not None,
            steps=self._choice.steps,
            total_windows=self._total_windows,
            drawn=self._drawn,
            findings=tuple(self._findings),
            windows=tuple(self._windows),
            gone_files=tuple(self._gone),
            is_same_machine=self._is_same_machine,
            machine=passport_machine(self._machine),
            libraries=own_libraries(),
            seconds=round(time.monotonic() - began, 1),
        )

    def _outcome_of(self) -> Any:
        if self._findings:
            return "different"
        if self._gone:
            return "rows_gone"
        errors = [e for w in self._windows for e in (w.loss_error, w.gradient_error)]
        errors += [w.weights_error for w in self._windows if w.weights_error is not None]
        return "within_tolerance" if any(errors) else "equal"

    async def _model(self) -> ModelRecord:
        job = self.job
        if job.status is not Status.SUCCEEDED or job.fine_tuned_model is None:
            raise NotReplayable(f"the job {job.id} has not succeeded: it is {job.status}")
        if job.grader is not None:
            raise NotReplayable(
                "the method reinforcement cannot be replayed: its answers were sampled at random"
            )
        model = await self._resources.registry.get(job.project_id, job.fine_tuned_model)
        if model is None:
            raise NotReplayable(f"the model {job.fine_tuned_model} was deleted")
        return model

    async def _adapter(self, model: ModelRecord) -> Path | None:
        """Download the adapter. None if it is not the one that was registered."""
        folder = self._dir / "adapter"
        try:
            manifest = await self._storage.get_folder(model.artifact, folder)
        except (StorageCorrupt, StorageMissing) as e:
            self._find("adapter_changed", f"The stored adapter is damaged: {e}.")
            return None
        if manifest.digest != model.digest:
            self._find(
                "adapter_changed", "The stored adapter is not the one that the job registered."
            )
        key = load_verifying_key(self._settings.adapter_key_file)
        named = (model.id, model.base_model, model.digest, model.signature)
        if key is not None and (fault := signature_fault(key, *named)) is not None:
            self._find("adapter_changed", f"The adapter cannot be trusted: {fault}.")
        return folder

    async def _compare(self, model: ModelRecord, adapter: Path) -> None:
        try:
            passport = json.loads((adapter / PASSPORT).read_text("utf-8"))
            recorded = read_steps(adapter)
        except (OSError, ValueError) as e:
            self._find("adapter_changed", f"A file of the stored adapter cannot be read: {e}.")
            return
        if 1 not in recorded or "environment" not in passport:
            raise NotReplayable(
                "the model was trained by an older version, at least in part, which did not record "
                "its steps: train it again to be able to replay it"
            )
        self._is_same_machine = (
            passport_machine(self._machine).items() <= passport["environment"].items()
            and own_libraries().items() <= passport["libraries"].items()
        )
        await self._compare_metrics(recorded)
        await self._compare_rows(passport["data"])
        spec = None if self._gone else await self._spec(passport["spec"])
        if spec is None:
            return  # there is nothing to compute from
        trained = _Trained(model, adapter, passport, recorded, await self._kept_states(model))
        if trained.adapter_step not in recorded:
            self._find("adapter_changed", f"There is no step {trained.adapter_step}, which the "
                       "passport names.")  # fmt: skip
            return
        async with self._gpu_lock:
            for window in self._choose(trained):
                state = await self._state(model, window.start) if window.start else None
                if state is not None or not window.start:
                    await self._window(spec, window, trained, state)

    def _choose(self, trained: _Trained) -> list[Window]:
        """Return the windows to compute, cut off after the steps that are requested."""
        windows = windows_of(trained.states, max(trained.steps))
        of_adapter = next(one for one in windows if one.start < trained.adapter_step <= one.end)
        drawn = draw_windows(set(windows) - {of_adapter}, self._choice.count, self._seed)
        self._total_windows, self._drawn = len(windows), len(drawn)
        # The adapter may be that of a step before the last one of its window.
        whole = [*drawn, of_adapter._replace(end=trained.adapter_step)]
        most = self._choice.steps or windows[-1].end
        chosen = [Window(start, min(end, start + most)) for start, end in whole]
        steps = sum(end - start for start, end in chosen)
        self._tell(
            f"{len(chosen)} of {len(windows)} windows, drawn with the seed {self._seed}: "
            f"{steps} of {windows[-1].end} steps"
        )
        return chosen

    async def _compare_metrics(self, recorded: Mapping[int, StepRecord]) -> None:
        """Compare the metrics that users see with the steps that the trainer wrote."""
        of_events = await self._jobs.metrics_of(self.job.project_id, self.job.id)
        of_file = await read_results(self._resources.files, self.job)
        for row in [*latest(of_events), *of_file]:
            step = recorded.get(row["step"])
            if step is None or row["train_loss"] != step.loss:
                self._find(
                    "metrics_changed",
                    f"The job's metrics have a training loss of {row['train_loss']} at step "
                    f"{row['step']}; the trainer wrote {step.loss if step else 'no such step'}.",
                )
                return

    async def _compare_rows(self, data: Mapping[str, Any]) -> None:
        """Compare the rows of all files with the digests in the passport."""
        named = [data["training"], *data.get("mixed", ())]
        named += [data["validation"]] if "validation" in data else []
        if [one["file"] for one in named] != [
            *(self.job.training_file, *(mixed.file for mixed in self.job.mixed_files)),
            *([self.job.validation_file] if self.job.validation_file else []),
        ]:
            self._find("spec_changed", "The job's record names other files than the passport.")
        for one in named:
            file = await self._resources.files.get(self.job.project_id, one["file"], clock.now_s())
            if file is None:
                self._gone.append(one["file"])
            elif file.canonical != one["rows_sha256"]:
                self._find("rows_changed", f"The rows of {one['file']} were replaced.")

    async def _spec(self, trained: Mapping[str, Any]) -> TrainSpec | None:
        """Return the spec by the job's record, in the layout of the training.

        None if the rows are damaged.
        """
        try:
            spec = await self._build_spec()
        except StorageCorrupt as e:
            self._find("rows_changed", f"Stored rows were changed: {e}.")
            return None
        except Untrainable as e:
            raise NotReplayable(e.failure.message) from e
        claimed = passport_spec(json.loads(spec.model_dump_json()))
        differing = sorted(
            name
            for name in claimed.keys() & trained.keys() - _NOT_COMPARED
            if claimed[name] != trained[name] != "auto"  # the trainer's choice is in the record
        )
        if differing:
            names = ", ".join(differing)
            self._find("spec_changed", f"The job's record and the passport differ in {names}.")
        if trained["gpus"] != spec.gpus and spec.hyperparameters.lora.dropout:
            raise NotReplayable(
                f"the training used dropout on {trained['gpus']} GPUs, and each draws its own: "
                "replay it on a machine with as many"
            )
        layout = {name: trained[name] for name in _LAYOUT if name in trained}
        layout |= {"probe_rows": 0}
        return spec.model_copy(update={**layout, "chat_budget_ms": None})

    async def _kept_states(self, model: ModelRecord) -> frozenset[int]:
        """Return the steps of the states that the training kept."""
        prefix = f"{model.artifact}/{REPLAY_FOLDER}/"
        names = {
            key.removeprefix(prefix).partition("/")[0] for key in await self._storage.keys(prefix)
        }
        return frozenset(int(name) for name in names if name.isdecimal())

    async def _state(self, model: ModelRecord, step: int) -> Path | None:
        """Download a kept state. None if it is damaged."""
        folder = self._dir / "states" / str(step)
        try:
            await self._storage.get_folder(f"{model.artifact}/{REPLAY_FOLDER}/{step}", folder)
        except (StorageCorrupt, StorageMissing) as e:
            self._find("state_refused", f"The state of step {step} is damaged: {e}.")
            return None
        return folder

    async def _window(
        self, spec: TrainSpec, window: Window, trained: _Trained, state: Path | None
    ) -> None:
        """Compute the steps of a window, and compare them and the weights that they lead to."""
        start, end = window
        output = self._dir / f"window-{start}"
        update = {"replay_until": end, "resume_from": state, "output_dir": output}
        result, done = await self._run_trainer(spec.model_copy(update=update))
        if isinstance(result, Failed):
            if result.code not in ("invalid_checkpoint", "loss_not_finite"):
                raise NotReplayable(f"the trainer failed: {result.message}")
            self._find("state_refused", f"The state of step {start} was refused: {result.message}")
            return
        if done != [*range(start + 1, end + 1)]:
            self._find("state_refused", f"The state of step {start} is that of another step.")
            return
        found = Path(str(result.path))
        computed = read_steps(found)
        pairs = [(step, trained.steps.get(step), computed[step]) for step in done]
        before = state / WEIGHTS if state else None
        errors = [
            await asyncio.to_thread(weights_error, one, found / WEIGHTS, before)
            for one in await self._expected(end, trained)
        ]
        replayed = ReplayedWindow(
            first_step=start + 1,
            last_step=end,
            loss_error=max(_error(old and old.loss, new.loss) for _, old, new in pairs),
            gradient_error=max(
                _error(old and old.gradient_norm, new.gradient_norm) for _, old, new in pairs
            ),
            weights_error=max(errors, default=None),
        )
        self._windows.append(replayed)
        self._tell(describe(replayed))
        self._findings += self._judge(replayed, pairs)
        shutil.rmtree(output)

    def _judge(
        self, window: ReplayedWindow, pairs: list[tuple[int, StepRecord | None, StepRecord]]
    ) -> Iterator[ReplayFinding]:
        is_exact = self._is_same_machine and self._machine.device == "cpu"
        loss, gradient, weights = (
            (0.0, 0.0, 0.0) if is_exact else (LOSS_TOLERANCE, GRADIENT_TOLERANCE, WEIGHTS_TOLERANCE)
        )
        for step, old, new in pairs:
            if (
                old is None
                or _error(old.loss, new.loss) > loss
                or _error(old.gradient_norm, new.gradient_norm) > gradient
            ):
                before = "nothing" if old is None else f"{old.loss} and {old.gradient_norm}"
                yield ReplayFinding(
                    code="step_differs",
                    message=f"Step {step}: loss and gradient norm are {new.loss} and "
                    f"{new.gradient_norm}; the trainer recorded {before}.",
                )
                break
        if window.weights_error is not None and window.weights_error > weights:
            yield ReplayFinding(
                code="checkpoint_differs",
                message=f"Steps {window.first_step} to {window.last_step} lead to other weights "
                f"than those that are stored: they differ by {window.weights_error:.2g} of the "
                "change in these steps.",
            )

    async def _expected(self, step: int, trained: _Trained) -> list[Path]:
        """Return the stored weights of a step: of the adapter, a checkpoint, or a kept state."""
        found = [trained.adapter / WEIGHTS] if trained.adapter_step == step else []
        page = await self._jobs.checkpoints(self.job.id).page(self.job.project_id, limit=100)
        folders = {f"checkpoint-{step}": one.adapter for one in page.items if one.step == step}
        if step in trained.states:
            folders[f"state-{step}"] = f"{trained.model.artifact}/{REPLAY_FOLDER}/{step}"
        for name, folder in folders.items():
            try:
                await self._storage.get_folder(folder, self._dir / name)
            except StorageMissing:
                continue  # the checkpoint was deleted
            except StorageCorrupt as e:
                self._find("adapter_changed", f"What is stored of step {step} is damaged: {e}.")
                continue
            found.append(self._dir / name / WEIGHTS)
        return found

    async def _run_trainer(self, spec: TrainSpec) -> tuple[Stopped | Failed, list[int]]:
        """Run the trainer, and return its result with the steps that it computed."""
        path = self._dir / "spec.json"
        path.write_text(spec.model_dump_json(), encoding="utf-8")
        last: Stopped | Failed | None = None
        done: list[int] = []
        self._child = await self._start_trainer(path)
        try:
            async for line in self._child.lines():
                message = parse_message(line)
                if isinstance(message, StepDone):
                    done.append(message.step)
                    self._tell(f"step {message.step}: loss {message.train_loss}")
                elif isinstance(message, Stopped | Failed):
                    last = message
            code = await self._child.wait()
        finally:
            await self._child.kill()
        if last is None:
            log_tail(self._dir / "trainer.log")
            raise NotReplayable(f"the trainer ended with {code}; its last output is above")
        return last, done

    def _find(self, code: Any, message: str) -> None:
        self._findings.append(ReplayFinding(code=code, message=message))


def keep(job: JobRecord, replay: ReplayRecord) -> JobRecord:
    """Return the record of a job with the result of another replay."""
    return job.model_copy(update={"replays": (*job.replays, replay)[-KEPT_REPLAYS:]})


def describe(window: ReplayedWindow) -> str:
    """Return a sentence about a window, for the operator."""
    errors = {"losses": window.loss_error, "gradient norms": window.gradient_error}
    if window.weights_error is not None:
        errors["weights"] = window.weights_error
    found = (f"{of} {f'off by {e:.2g}' if e else 'bit-equal'}" for of, e in errors.items())
    return f"steps {window.first_step} to {window.last_step}: {', '.join(found)}"


def weights_error(expected: Path, found: Path, start: Path | None) -> float:
    """Return how far weights are from the expected ones, relative to their change since `start`.

    0 if they are bit-equal. Infinite if the tensors have other names or shapes.
    """
    if expected.read_bytes() == found.read_bytes():
        return 0.0
    import numpy as np
    from safetensors.numpy import load_file

    old, new = load_file(expected), load_file(found)
    before: Mapping[str, Any] = load_file(start) if start else {}
    if {n: t.shape for n, t in old.items()} != {n: t.shape for n, t in new.items()}:
        return math.inf
    difference = math.fsum(float(np.square(old[n] - new[n]).sum()) for n in old)
    change = math.fsum(float(np.square(old[n] - before.get(n, 0)).sum()) for n in old)
    return math.sqrt(difference / change) if change else math.inf


def _error(old: float | None, new: float) -> float:
    """Return the relative difference of two figures; infinite if one is missing."""
    if old is None:
        return math.inf
    return 0.0 if old == new else abs(old - new) / max(abs(old), abs(new), 1e-12)
