"""Tests of runs on several devices: two processes on a CPU represent two GPUs."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.training import (
    CheckpointSaved,
    Failed,
    Started,
    StepDone,
    Stopped,
    Succeeded,
    TrainSpec,
)
from service.training.contract.protocol import TrafficCommand, encode
from tests.lazy import Lazy
from tests.training.conftest import HANG_S, Starter, Trainer, write_chats

safetensors = Lazy("safetensors.torch")

pytestmark = pytest.mark.e2e

# Each rank draws its own dropout; a batch of 5 is divided unevenly, as is the last one of
# an epoch, with two rows. Parts of 60 tokens give the ranks different numbers of parts.
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
        "steps.csv",
    ]
    return safetensors.load_file(Path(done.adapter_path) / "adapter_model.safetensors")


def ranks_of(trainer: Trainer) -> list[psutil.Process]:
    return psutil.Process(trainer.process.pid).children()


def validated(trainer: Trainer) -> dict[int, float]:
    steps = trainer.of(StepDone)
    return {step.step: step.full_valid_loss for step in steps if step.full_valid_loss is not None}


def agree(one: Trainer, other: Trainer) -> None:
    """Assert the same losses and the same adapter, up to rounding."""
    assert [message.type for message in one.seen] == [message.type for message in other.seen]
    assert one.losses == pytest.approx(other.losses, rel=1e-3)
    assert validated(one) == pytest.approx(validated(other), rel=1e-3)
    counts = [[step.trained_tokens for step in run.of(StepDone)] for run in (one, other)]
    assert counts[0] == counts[1]
    ours, theirs = adapter(one), adapter(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (ours[name] - tensor).norm() < 0.05 * tensor.norm(), name


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
    def run(
        *, forks: bool = True, watch: Callable[[Trainer], object] = list, **changes: Any
    ) -> Trainer:
        folder = tmp_path_factory.mktemp("run")
        with Starter(folder, forks=forks) as begin:
            asked = ALIKE | {"validation_file": validation} | changes
            trainer = begin(make_spec(folder / "out", **asked))
            watch(trainer)
            return finish(trainer)

    return run


@pytest.fixture(scope="module")
def alone(run_once: Callable[..., Trainer]) -> Trainer:
    return run_once()


@pytest.fixture(scope="module")
def two(run_once: Callable[..., Trainer]) -> dict[str, Trainer]:
    """Two processes in each way to share the model."""
    return {
        "ddp": run_once(gpus=2, sharding="ddp", forks=False),
        "fsdp": run_once(gpus=2, sharding="fsdp"),
    }


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_processes_train_as_one_does(alone, two, sharding):
    assert len(validated(two[sharding])) == 3
    agree(two[sharding], alone)


def without_chats_from_the_second_step_on(trainer: Trainer) -> None:
    assert trainer.process.stdin is not None
    for message in trainer:
        if isinstance(message, StepDone):
            trainer.process.stdin.write(encode(TrafficCommand(in_flight=0)))
            trainer.process.stdin.flush()


# With fsdp, the second process waits for the first one's part of each layer.
@pytest.mark.parametrize(("sharding", "resting"), [("ddp", {"0", "1"}), ("fsdp", {"0"})])
def test_two_processes_rest_for_chats_with_the_same_result(two, run_once, sharding, resting):
    rested = run_once(
        gpus=2,
        sharding=sharding,
        chat_budget_ms=500,
        watch=without_chats_from_the_second_step_on,
    )
    assert rested.losses == two[sharding].losses
    assert validated(rested) == validated(two[sharding])
    ours, theirs = adapter(rested), adapter(two[sharding])
    assert all(bool((ours[name] == tensor).all()) for name, tensor in theirs.items())
    seconds = dict(re.findall(r"rank (\d) rested ([\d.]+) s for chats", rested.log.read_text()))
    assert {rank for rank, text in seconds.items() if float(text) > 0} == resting
    assert rested.of(StepDone)[0].rested_seconds > 0


def test_pairs_are_shared_too_and_the_best_adapter_is_kept(run_once, few_preferences):
    asked = {
        "method": "dpo",
        "training_file": few_preferences,
        "validation_file": None,
        "validation_share": 0.25,
        "keep_best": True,
        "n_checkpoints": 2,
    }
    agree(run_once(gpus=2, **asked), run_once(**asked))


def test_judged_answers_are_shared_with_one_reference_point(run_once, few_judged):
    asked = {
        "method": "kto",
        "training_file": few_judged,
        "validation_file": None,
        "validation_share": 0.25,
        "n_checkpoints": 2,
    }
    agree(run_once(gpus=2, sharding="fsdp", **asked), run_once(**asked))


def test_the_experts_of_a_mixture_are_shared_in_nf4(run_once, zoo_model):
    asked = {"base_model_path": zoo_model("Qwen3 MoE"), "quantization": "nf4"}
    agree(run_once(gpus=2, sharding="fsdp", **asked), run_once(**asked))


def test_a_resumed_run_draws_the_same_dropout_on_each_rank(run_once):
    asked = {
        "gpus": 2,
        "sharding": "fsdp",
        "packing": True,
        "lora": {"r": 4, "alpha": 8, "dropout": 0.2},
    }
    whole = run_once(**asked)
    checkpoint = whole.of(CheckpointSaved)[0]
    rest = run_once(**asked, resume_from=checkpoint.path)
    assert rest.of(Started)[0].resumed_step == checkpoint.step
    assert rest.losses == {s: loss for s, loss in whole.losses.items() if s > checkpoint.step}
    wanted = adapter(whole)
    for name, tensor in adapter(rest).items():
        assert tensor.equal(wanted[name]), name


def test_a_stop_leaves_a_checkpoint_that_one_process_can_continue(
    alone, start, make_spec, validation, tmp_path
):
    asked = ALIKE | {"validation_file": validation}
    first = start(make_spec(tmp_path / "first", gpus=2, **asked))
    first.until(StepDone)
    first.stop()
    assert first.wait() == 3, first.log.read_text()
    (stopped,) = first.of(Stopped)
    assert stopped.step < 6
    assert len(list((tmp_path / "first").glob("checkpoint-*"))) == len(first.of(CheckpointSaved))

    second = finish(start(make_spec(tmp_path / "second", resume_from=stopped.path, **asked)))
    assert first.losses | second.losses == pytest.approx(alone.losses, rel=1e-3)


def test_the_death_of_one_rank_ends_all_by_the_same_signal(start, make_spec, tmp_path):
    trainer = start(make_spec(tmp_path / "out", **(ALIKE | {"n_epochs": 50, "gpus": 2})))
    trainer.until(StepDone)
    ranks = ranks_of(trainer)
    assert len(ranks) == 2
    ranks[1].kill()
    assert trainer.wait() == -signal.SIGKILL
    assert trainer.of(Failed) == trainer.of(Succeeded) == []
    assert not any(rank.is_running() for rank in ranks)


def test_a_rank_that_stands_still_ends_the_attempt_and_not_the_job(start, make_spec, tmp_path):
    """As a GPU does that hangs: the others wait for as long as the spec says."""
    asked = ALIKE | {"n_epochs": 50, "gpus": 2, "rank_timeout_s": 30.0}
    trainer = start(make_spec(tmp_path / "out", **asked))
    trainer.until(StepDone)
    ranks_of(trainer)[1].suspend()
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert failed.code == "interrupted"
    assert "FINETUNED_TRAINER_RANK_TIMEOUT_S" in failed.message


def test_ranks_do_not_outlive_their_supervisor(start_process, make_spec, tmp_path):
    trainer = start_process(make_spec(tmp_path / "out", **(ALIKE | {"n_epochs": 50, "gpus": 2})))
    # Immediately, while they still load libraries; later, the kernel alone would suffice.
    while len(ranks := ranks_of(trainer)) < 2:
        assert trainer.process.poll() is None
    trainer.process.kill()
    _, alive = psutil.wait_procs(ranks, timeout=HANG_S)
    assert alive == []


def test_a_failure_of_all_is_told_once_with_its_code(start, make_spec, tmp_path):
    trainer = start(make_spec(tmp_path / "out", gpus=2, base_model_path=tmp_path))
    assert trainer.wait() == 1
    assert [(message.type, message.code) for message in trainer.seen] == [
        ("failed", "invalid_model")
    ]


@pytest.mark.gpu
@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_gpus_train_as_one_does(run_once, sharding):
    torch = pytest.importorskip("torch")
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    both, alone = run_once(gpus=2, sharding=sharding), run_once()
    assert both.of(Started)[0].device == "cuda"
    assert both.losses == pytest.approx(alone.losses, rel=0.02)


@pytest.mark.gpu
def test_more_gpus_than_there_are_is_refused(start, make_spec, tmp_path):
    torch = pytest.importorskip("torch")
    count = torch.cuda.device_count() + 1
    trainer = start(make_spec(tmp_path / "out", gpus=count, batch_size=count))
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert (failed.code, failed.param) == ("invalid_spec", "gpus")
