"""Complete runs on preferences and on labeled answers, with DPO and KTO."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.training import (
    CheckpointSaved,
    Failed,
    Started,
    StepDone,
    Succeeded,
    TrainSpec,
    Warned,
)
from service.training.contract.protocol import Noted

from .conftest import Starter, Trainer, assert_same_adapter

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

LN_2 = math.log(2)


@dataclass(frozen=True)
class Runs:
    """A method with its rows, and a finished run that was validated on the same rows."""

    make: Callable[..., TrainSpec]
    rows: Path
    whole: Trainer


def _runs(
    method: str, rate: float, rows: Path, make_spec: Callable[..., TrainSpec], folder: Path
) -> Iterator[Runs]:
    def make(output: Path, **changes: Any) -> TrainSpec:
        given = {"method": method, "training_file": rows, "learning_rate": rate}
        return make_spec(output, **(given | changes))

    with Starter(folder) as begin:
        whole = begin(make(folder / "out", validation_file=rows))
        assert whole.wait() == 0, whole.log.read_text()
    yield Runs(make, rows, whole)


@pytest.fixture(scope="module")
def dpo(make_spec, few_preferences, tmp_path_factory):
    yield from _runs("dpo", 3e-3, few_preferences, make_spec, tmp_path_factory.mktemp("dpo"))


@pytest.fixture(scope="module")
def kto(make_spec, few_judged, tmp_path_factory):
    yield from _runs("kto", 5e-3, few_judged, make_spec, tmp_path_factory.mktemp("kto"))


@pytest.fixture(params=["dpo", "kto"])
def runs(request) -> Runs:
    found: Runs = request.getfixturevalue(request.param)
    return found


def test_the_model_learns_to_prefer(dpo: Runs):
    kinds = [message.type for message in dpo.whole.seen]
    assert kinds == ["started", *[*["step"] * 4, "checkpoint"] * 3, "succeeded"]
    steps = dpo.whole.of(StepDone)
    # A fresh adapter is its own reference.
    assert steps[0].train_loss == pytest.approx(LN_2, abs=1e-6)
    assert steps[0].train_reward_margin == 0
    assert steps[-1].train_loss < LN_2 - 0.1
    assert steps[-1].full_valid_loss < steps[3].full_valid_loss < LN_2
    assert steps[-1].full_valid_reward_accuracy == 1
    assert steps[-1].full_valid_reward_margin > 0.2
    assert dpo.whole.of(CheckpointSaved)[-1].metrics.valid_reward_accuracy == 1


def test_the_model_learns_what_people_like(kto: Runs):
    kinds = [message.type for message in kto.whole.seen]
    assert kinds == ["note", "started", *[*["step"] * 4, "checkpoint"] * 3, "succeeded"]
    (note,) = kto.whole.of(Noted)
    assert note.code == "label_weights"
    assert "1 for each of 8 good answers, 1.5 for each of 4 bad answers" in note.message
    (began,) = kto.whole.of(Started)
    assert (began.desirable_weight, began.undesirable_weight) == (1, pytest.approx(1.5))
    steps = kto.whole.of(StepDone)
    assert steps[-1].full_valid_loss < steps[3].full_valid_loss
    assert steps[-1].full_valid_reward_margin > max(steps[3].full_valid_reward_margin, 0.1)
    assert steps[-1].full_valid_reward_accuracy > 0.5


def test_the_adapter_has_its_files(runs: Runs):
    (done,) = runs.whole.of(Succeeded)
    assert sorted(path.name for path in Path(done.adapter_path).iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "steps.csv",
    ]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(runs: Runs, start, tmp_path):
    first = start(runs.make(tmp_path / "first", validation_file=runs.rows))
    stopped = first.stop_after(5)
    # Weights that were "auto" may be given as numbers when the run continues.
    (began,) = runs.whole.of(Started)
    weights = {"desirable_weight": 1, "undesirable_weight": began.undesirable_weight}
    given = {} if began.undesirable_weight is None else weights
    second = start(
        runs.make(tmp_path / "second", validation_file=runs.rows, resume_from=stopped.path, **given)
    )
    assert second.wait() == 0, second.log.read_text()
    assert second.of(Started)[0].resumed_step == stopped.step
    assert first.losses | second.losses == runs.whole.losses
    (done,), (wanted,) = second.of(Succeeded), runs.whole.of(Succeeded)
    assert_same_adapter(done, wanted)


def test_the_result_is_the_same_in_parts_and_with_gradient_checkpointing(
    runs: Runs, start, tmp_path
):
    alike = {"quantization": "none", "n_checkpoints": 1, "batch_size": 5, "packing": "auto"}
    whole = start(runs.make(tmp_path / "whole", gradient_checkpointing=True, **alike))
    in_parts = start(runs.make(tmp_path / "parts", tokens_at_once=1, **alike))
    for run in (whole, in_parts):
        assert run.wait() == 0, run.log.read_text()
        assert run.of(Warned) == []
    # The last batch of an epoch is a short one.
    assert len(whole.losses) == 9
    assert in_parts.losses == pytest.approx(whole.losses, rel=0.02)


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [("dpo", {"beta": 0.5}, "differs in beta"), ("kto", {"undesirable_weight": 3}, "weight")],
)
def test_other_settings_are_another_run(request, start, tmp_path, method, changes, words):
    runs: Runs = request.getfixturevalue(method)
    checkpoint = runs.whole.of(CheckpointSaved)[0].path
    run = start(runs.make(tmp_path / "out", resume_from=checkpoint, **changes))
    assert run.wait() == 1
    (failed,) = run.of(Failed)
    assert failed.code == "invalid_checkpoint"
    assert words in failed.message


def test_the_reference_after_a_warm_start_is_what_the_run_began_with(kto: Runs, start, tmp_path):
    (done,) = kto.whole.of(Succeeded)
    changes = {"warm_start_path": done.adapter_path, "n_checkpoints": 1, "lora": {}}
    run = start(kto.make(tmp_path / "out", **changes))
    assert run.wait() == 0, run.log.read_text()
    # Answers weigh 1 or 1.5, and the loss is half of that if nothing was gained.
    assert 0.5 <= run.losses[1] <= 0.75
    assert run.of(StepDone)[0].train_reward_accuracy == 0
