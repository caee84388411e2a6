"""Tests of checkpoints of a real run, intact or damaged."""

import json
import shutil
from pathlib import Path

import pytest

from service.training import CheckpointSaved
from service.training.contract.adapter_config import WEIGHTS
from service.training.contract.failures import TrainingFailure
from tests.lazy import Lazy

torch = Lazy("torch")
safetensors = Lazy("safetensors.torch")
checkpoints = Lazy("service.training.loop.checkpoints")

pytestmark = [pytest.mark.slow, pytest.mark.e2e]  # for the run that they come from


@pytest.fixture
def checkpoint(whole_run, tmp_path):
    return Path(
        shutil.copytree(
            whole_run.of(CheckpointSaved)[1].path, tmp_path / "checkpoint", dirs_exist_ok=True
        )
    )


@pytest.fixture
def run(checkpoint):
    return checkpoints.Seal.model_validate_json(
        (checkpoint / checkpoints.SEAL_NAME).read_bytes()
    ).run


def refusal(checkpoint, run):
    with pytest.raises(TrainingFailure) as caught:
        checkpoints.open_checkpoint(checkpoint, run)
    assert caught.value.code == "invalid_checkpoint"
    return caught.value.message


def test_a_whole_checkpoint_opens(checkpoint, run):
    opened = checkpoints.open_checkpoint(checkpoint, run)
    assert opened.step == 8
    assert opened.trained_tokens > 0


def test_it_holds_no_pickled_arguments_and_no_tokenizer(checkpoint):
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.pt",
        "rng_state.pth",
        "run.json",
        "scheduler.pt",
        "steps.csv",
        "trainer_state.json",
    ]


def test_a_checkpoint_that_was_never_finished(checkpoint, run):
    (checkpoint / checkpoints.SEAL_NAME).unlink()
    assert "incomplete" in refusal(checkpoint, run)
    assert "incomplete" in refusal(checkpoint / "nowhere", run)


def test_a_seal_that_is_cut_short(checkpoint, run):
    path = checkpoint / checkpoints.SEAL_NAME
    path.write_text(path.read_text()[:-20])
    assert "seal cannot be read" in refusal(checkpoint, run)


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth", WEIGHTS])
def test_a_missing_file(checkpoint, run, name):
    (checkpoint / name).unlink()
    assert f"it lacks {name}" in refusal(checkpoint, run)


def test_a_seal_over_too_few_files(checkpoint, run):
    (checkpoint / "optimizer.pt").unlink()
    (checkpoint / checkpoints.SEAL_NAME).unlink()
    checkpoints.seal(checkpoint, run, step=8, trained_tokens=1)
    assert "it lacks optimizer.pt" in refusal(checkpoint, run)


def test_a_flipped_bit(checkpoint, run):
    path = checkpoint / "optimizer.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "optimizer.pt is damaged" in refusal(checkpoint, run)


def test_weights_that_are_no_numbers(checkpoint, run):
    path = checkpoint / WEIGHTS
    tensors = safetensors.load_file(path)
    next(iter(tensors.values()))[0, 0] = torch.nan
    safetensors.save_file(tensors, path)
    (checkpoint / checkpoints.SEAL_NAME).unlink()
    checkpoints.seal(checkpoint, run, step=8, trained_tokens=1)
    assert not checkpoints.is_finite(path)
    assert "not finite" in refusal(checkpoint, run)


def test_a_learning_rate_of_another_run(checkpoint, run):
    """A resumed run would take it from the file."""
    path = checkpoint / "scheduler.pt"
    state = torch.load(path, weights_only=True)
    state["base_lrs"] = [2 * rate for rate in state["base_lrs"]]
    torch.save(state, path)
    (checkpoint / checkpoints.SEAL_NAME).unlink()
    checkpoints.seal(checkpoint, run, step=8, trained_tokens=1)
    assert "its learning rate is" in refusal(checkpoint, run)


def test_a_seal_from_before_there_were_other_methods(checkpoint, run):
    path = checkpoint / checkpoints.SEAL_NAME
    record = json.loads(path.read_text())
    for name in ("method", "beta", "warm_start", "early_stopping", "keep_best"):
        record["run"].pop(name, None)
    record["run"]["lora"].pop("use_rslora")
    record["run"]["lora"]["use_dora"] = False
    path.write_text(json.dumps(record))
    assert checkpoints.open_checkpoint(checkpoint, run).step == 8


def test_an_optimizer_state_that_is_no_numbers(checkpoint, run):
    path = checkpoint / "optimizer.pt"
    content = torch.load(path, weights_only=True)
    next(iter(content["state"].values()))["exp_avg"][0, 0] = torch.inf
    torch.save(content, path)
    (checkpoint / checkpoints.SEAL_NAME).unlink()
    checkpoints.seal(checkpoint, run, step=8, trained_tokens=1)
    assert "optimizer state is not finite" in refusal(checkpoint, run)


@pytest.mark.parametrize(
    ("change", "value"), [("seed", 6), ("data", "0" * 64), ("batch_size", 4), ("total_steps", 99)]
)
def test_a_checkpoint_of_another_run(checkpoint, run, change, value):
    other = run.model_copy(update={change: value})
    assert f"differs in {change}" in refusal(checkpoint, other)


def test_the_seal_tells_no_path(checkpoint):
    record = json.loads((checkpoint / checkpoints.SEAL_NAME).read_text())
    assert not any(str(value).startswith("/") for value in record["run"].values())
