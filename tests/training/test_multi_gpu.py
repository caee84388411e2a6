"""Runs on several devices: two processes that share a CPU stand for two GPUs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from service.training import (
    CheckpointSaved,
    Failed,
    Started,
    StepDone,
    Stopped,
    Succeeded,
    TrainSpec,
)
from tests.training.conftest import Starter, Trainer, write_chats

pytestmark = pytest.mark.e2e

# Dropout is drawn by each rank for itself; a batch of 5 is shared unevenly, and the last one of
# an epoch, of two rows, too. Parts of 60 tokens give the ranks different numbers of them.
ALIKE: dict[str, Any] = {
    "lora": {"r": 4, "alpha": 8},
    "batch_size": 5,
    "tokens_at_once": 60,
    "n_epochs": 2,
}


def finish(trainer: Trainer) -> Trainer:
    assert trainer.wait() == 0, trainer.log.read_text()
    return trainer


def adapter(trainer: Trainer) -> dict[str, Any]:
    (done,) = trainer.of(Succeeded)
    assert sorted(path.name for path in Path(done.adapter_path).iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    return load_file(Path(done.adapter_path) / "adapter_model.safetensors")


def ranks_of(trainer: Trainer) -> list[psutil.Process]:
    return psutil.Process(trainer.process.pid).children()


def have_ended(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=20)[1]


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [(f"What is {n} and {n}?", f"Aye, it is {2 * n}.") for n in (20, 31, 42)]
    return write_chats(tmp_path_factory.mktemp("valid") / "valid.jsonl", rows)


@pytest.fixture(scope="module")
def run_once(
    make_spec: Callable[..., TrainSpec],
    validation: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Trainer]:
    def run(**changes: Any) -> Trainer:
        folder = tmp_path_factory.mktemp("run")
        with Starter(folder) as begin:
            spec = make_spec(folder / "out", validation_file=validation, **(ALIKE | changes))
            return finish(begin(spec))

    return run


@pytest.fixture(scope="module")
def alone(run_once: Callable[..., Trainer]) -> Trainer:
    return run_once()


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_processes_train_as_one_does(alone, run_once, sharding):
    both = run_once(gpus=2, sharding=sharding)
    assert [message.type for message in both.seen] == [message.type for message in alone.seen]
    for step, wanted in zip(both.of(StepDone), alone.of(StepDone), strict=True):
        assert step.train_loss == pytest.approx(wanted.train_loss, rel=2e-3)
        assert step.trained_tokens == wanted.trained_tokens
        if wanted.valid_loss is not None:
            assert step.valid_loss == pytest.approx(wanted.valid_loss, rel=2e-3)
    ours, theirs = adapter(both), adapter(alone)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        difference = (ours[name] - tensor).norm() / tensor.norm()
        print(name, float(difference))
        assert difference < 0.05, name
