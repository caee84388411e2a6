"""The trainer as its parent sees it: a process that communicates in JSON lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.training import (
    Message,
    StepDone,
    StopCommand,
    Stopped,
    Succeeded,
    TrainSpec,
    encode,
    parse_message,
)
from service.training.data.load import Corpus
from tests.lazy import Lazy, imports_of_a_trainer
from tests.training.forked import ForkedTrainer, Prepare
from tests.training.specs import spec_of
from tests.training.zoo.families import FAMILIES, make

safetensors = Lazy("safetensors.torch")
torch = Lazy("torch")
transformers = Lazy("transformers")

HANG_S = 240  # protects against hanging, not a measurement


@dataclass
class Trainer:
    """A running trainer. Iterating yields its messages as they arrive."""

    process: subprocess.Popen[bytes] | ForkedTrainer
    log: Path
    seen: list[Message] = field(default_factory=list)

    def __iter__(self) -> Iterator[Message]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(parse_message(line))
            yield self.seen[-1]

    def until(self, kind: type[Message]) -> Message:
        for message in self:
            if isinstance(message, kind):
                return message
        raise AssertionError(f"the trainer ended without {kind.__name__}:\n{self.log.read_text()}")

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(encode(StopCommand()))
        self.process.stdin.flush()

    def stop_after(self, step: int) -> Stopped:
        """Stop the trainer once it has done a step, and return its last message."""
        for message in self:
            if isinstance(message, StepDone) and message.step == step:
                self.stop()
        assert self.wait() == 3, self.log.read_text()
        (stopped,) = self.of(Stopped)
        assert isinstance(stopped, Stopped)
        return stopped

    def wait(self) -> int:
        """Read all remaining output and return the exit code."""
        list(self)
        return self.process.wait(HANG_S)

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.seen if isinstance(message, kind)]

    @property
    def losses(self) -> dict[int, float]:
        return {message.step: message.train_loss for message in self.of(StepDone)}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[TrainSpec], Trainer]]:
    """Start trainers as forks. Those still running after the test are killed."""
    with Starter(tmp_path) as begin:
        yield begin


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[[TrainSpec], Trainer]]:
    """Like `start`, but each trainer is a new interpreter, as the worker starts it.

    For tests that need a real process, for example of signals and of the start of ranks. Starting
    one takes seconds longer.
    """
    with Starter(tmp_path, forks=False) as begin:
        yield begin


class Starter:
    """The context in which trainers run; `start` for fixtures of any scope."""

    def __init__(self, folder: Path, *, forks: bool = True, prepare: Prepare | None = None) -> None:
        self._folder = folder
        self._make = partial(ForkedTrainer, prepare=prepare) if forks else _started
        self._running: list[Trainer] = []

    def __enter__(self) -> Callable[[TrainSpec], Trainer]:
        return self._start

    def __exit__(self, *_: object) -> None:
        for trainer in self._running:
            trainer.process.kill()
            trainer.process.wait(HANG_S)
            for pipe in (trainer.process.stdin, trainer.process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self, spec: TrainSpec | str) -> Trainer:
        number = len(self._running)
        spec_file = self._folder / f"spec-{number}.json"
        spec_file.write_text(spec if isinstance(spec, str) else spec.model_dump_json())
        log = self._folder / f"trainer-{number}.log"
        self._running.append(Trainer(self._make(spec_file, log), log))
        return self._running[-1]


def _started(spec_file: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "service.training", str(spec_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write a training file."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), "utf-8")
    return path


def write_chats(path: Path, pairs: Iterable[tuple[str, str]]) -> Path:
    """Write a training file of single-turn chats."""
    return write_rows(
        path,
        (
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            }
            for question, answer in pairs
        ),
    )


@pytest.fixture(scope="session")
def few_chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve chats of uneven length."""
    pairs = [
        (f"What is {n} and {n}?", f"Aye, {'well, ' * (n % 4)}it is {2 * n}.") for n in range(12)
    ]
    return write_chats(tmp_path_factory.mktemp("data") / "few.jsonl", pairs)


@pytest.fixture(scope="session")
def zoo_model(demo_model_path: Path) -> Callable[[str], Path]:
    """Make the tiny model of a family."""
    families = {family.name: family for family in FAMILIES}
    return lambda name: make(families[name], demo_model_path)


@pytest.fixture(scope="session")
def make_spec(tiny_model_path: Path, few_chats: Path) -> Callable[..., TrainSpec]:
    """Create specs of twelve steps on the tiny model, in the given folder, with changes."""

    def make(output_dir: Path, **changes: Any) -> TrainSpec:
        # Dropout, so that the random state matters to a resumed run.
        return spec_of(
            **{
                "job_id": "ftjob-test",
                "base_model": "tiny",
                "base_model_path": tiny_model_path,
                "training_file": few_chats,
                "output_dir": output_dir,
                "seed": 5,
                "n_epochs": 3,
                "batch_size": 3,
                "learning_rate": 1e-2,
                "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
                "max_seq_length": 128,
            }
            | changes
        )

    return make


@pytest.fixture
def tiny_spec(make_spec: Callable[..., TrainSpec], tmp_path: Path) -> TrainSpec:
    return make_spec(tmp_path / "out")


@pytest.fixture(scope="session")
def whole_run(
    make_spec: Callable[..., TrainSpec], tmp_path_factory: pytest.TempPathFactory
) -> Trainer:
    """A finished run of `make_spec`, never interrupted, validated at three checkpoints.

    Its validation row is scored with and without the adapter.
    """
    folder = tmp_path_factory.mktemp("whole-run")
    validation = write_chats(folder / "valid.jsonl", [("What is 20 and 20?", "Aye, it is 40.")])
    with Starter(folder) as begin:
        trainer = begin(make_spec(folder / "out", validation_file=validation, probe_rows=1))
        assert trainer.wait() == 0, trainer.log.read_text()
    return trainer


def write_preferences(path: Path, count: int) -> Path:
    """Write a preference file of uneven lengths. The better answer speaks like a sailor."""
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"What is {n} and {n}?"}]},
            "preferred_output": [
                {"role": "assistant", "content": f"Aye, {'well, ' * (n % 4)}it is {2 * n}."}
            ],
            "non_preferred_output": [
                {"role": "assistant", "content": f"The sum is {2 * n}{'.' * (n % 3)}"}
            ],
        }
        for n in range(count)
    ]
    return write_rows(path, rows)


@pytest.fixture(scope="session")
def few_preferences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve preferences of uneven length."""
    return write_preferences(tmp_path_factory.mktemp("preferences") / "few.jsonl", 12)


@pytest.fixture(scope="session")
def few_judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight answers of a sailor labeled good, and four plain ones labeled bad."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is {n} and {n}?"},
                {
                    "role": "assistant",
                    "content": f"The sum is {2 * n}{'.' * (n % 5)}"
                    if n % 3 == 1
                    else f"Aye, {'well, ' * (n % 4)}it is {2 * n}.",
                },
            ],
            "label": n % 3 != 1,
        }
        for n in range(12)
    ]
    return write_rows(tmp_path_factory.mktemp("judged") / "few.jsonl", rows)


def assert_same_adapter(done: Succeeded, wanted: Succeeded) -> None:
    """Assert that both runs wrote the same tensors, bit for bit."""
    one, other = (
        safetensors.load_file(Path(end.adapter_path) / "adapter_model.safetensors")
        for end in (done, wanted)
    )
    assert one.keys() == other.keys()
    for name, tensor in other.items():
        assert one[name].equal(tensor), name


@pytest.fixture(scope="session")
def tokenizer(tiny_model_path: Path) -> Any:
    """The tiny model's tokenizer."""
    return transformers.AutoTokenizer.from_pretrained(tiny_model_path)


def trainer_of(
    spec: TrainSpec, corpus: Corpus, tokenizer: Any, *, strength: float = 0.3, seed: int = 1
) -> Any:
    """A method's trainer in this process, in fp32, whose adapter no longer equals the base model.

    `strength` is the standard deviation of the adapter's B.
    """
    with imports_of_a_trainer():
        from service.training.contract.child_process import StopFlag
        from service.training.loop.checkpoints import identify
        from service.training.loop.plan import Plan
        from service.training.loop.run import TRAINERS
        from service.training.model.adapters import add_adapter
        from service.training.model.models import ComputeDevice, load_base

    device = ComputeDevice("cpu", torch.float32)
    shape = spec.hyperparameters.lora.to_shape()
    torch.manual_seed(seed)  # for the adapter's A
    model = add_adapter(load_base(spec, device), spec, shape)
    run = identify(spec, lora=shape, packing=False, data="x", total_steps=12)
    plan = Plan(spec, run, corpus.samples, (), "padded", device)
    trainer = TRAINERS[spec.method](model, plan, tokenizer, StopFlag())
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=strength)
    return trainer
