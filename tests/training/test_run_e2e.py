"""Tests of complete runs, as the worker drives them."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from service.training import (
    CheckpointSaved,
    Failed,
    Started,
    StepDone,
    Stopped,
    Succeeded,
    Warned,
)
from service.training.contract.adapter_config import WEIGHTS
from service.training.contract.replay import read_steps, windows_of
from tests.lazy import Lazy
from tests.training.conftest import assert_same_adapter, write_chats

safetensors = Lazy("safetensors.torch")

pytestmark = pytest.mark.e2e


def test_the_messages_of_a_run_come_in_order(whole_run):
    kinds = [message.type for message in whole_run.seen]
    step, checkpoint = "step", "checkpoint"
    assert kinds == ["started", *[*[step] * 4, checkpoint] * 3, "succeeded"]
    (started,) = whole_run.of(Started)
    assert (started.total_steps, started.examples, started.validation_examples) == (12, 12, 1)
    assert started.resumed_step == 0
    assert [message.step for message in whole_run.of(StepDone)] == list(range(1, 13))
    (done,) = whole_run.of(Succeeded)
    assert done.final_step == 12
    assert done.trained_tokens == whole_run.of(StepDone)[-1].trained_tokens > 0


def test_the_loss_falls_and_validation_comes_with_each_checkpoint(whole_run):
    steps = whole_run.of(StepDone)
    assert steps[-1].train_loss < steps[0].train_loss - 0.3
    assert steps[-1].train_mean_token_accuracy > steps[0].train_mean_token_accuracy
    validated = [step for step in steps if step.valid_loss is not None]
    assert [step.step for step in validated] == [4, 8, 12]
    assert all(step.full_valid_loss == step.valid_loss for step in validated)
    saved = whole_run.of(CheckpointSaved)
    assert [message.metrics.valid_loss for message in saved] == [
        step.valid_loss for step in validated
    ]


def test_the_adapter_can_be_served_and_tells_no_path(whole_run, make_spec):
    (done,) = whole_run.of(Succeeded)
    folder = Path(done.adapter_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "steps.csv",
    ]
    text = (folder / "adapter_config.json").read_text()
    config = json.loads(text)
    assert config["base_model_name_or_path"] == "tiny"
    assert str(make_spec(folder).base_model_path) not in text
    tensors = safetensors.load_file(folder / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * 2  # A and B of seven linear layers in two blocks
    assert not any("lm_head" in name or "embed" in name for name in tensors)
    for saved in whole_run.of(CheckpointSaved):
        for path in Path(saved.path).glob("*.json"):
            assert str(make_spec(folder).base_model_path) not in path.read_text()


def test_a_stopped_run_goes_on_as_if_it_had_not_been(whole_run, start, make_spec, tmp_path):
    validation = whole_run.log.parent / "valid.jsonl"
    first = start(make_spec(tmp_path / "first", validation_file=validation))
    stopped = first.stop_after(5)  # in the second epoch, between two checkpoints
    assert stopped.step < 12
    assert first.of(CheckpointSaved)[-1].path == stopped.path

    second = start(
        make_spec(tmp_path / "second", validation_file=validation, resume_from=stopped.path)
    )
    assert second.wait() == 0, second.log.read_text()
    assert second.of(Started)[0].resumed_step == stopped.step
    assert first.losses | second.losses == whole_run.losses
    assert list(second.losses) == list(range(stopped.step + 1, 13))
    (done,), (wanted,) = second.of(Succeeded), whole_run.of(Succeeded)
    assert done.trained_tokens == wanted.trained_tokens
    assert_same_adapter(done, wanted)


def test_a_resumed_run_packs_as_before_though_less_fits_at_once(start, make_spec, tmp_path):
    """In parts of one row, nothing is padding, so packing would not be worth it."""
    alike = {"packing": "auto", "batch_size": 6}
    first = start(make_spec(tmp_path / "first", replay_until=2, **alike))
    assert first.wait() == 3, first.log.read_text()
    assert first.of(Started)[0].packing
    alike["resume_from"] = first.of(Stopped)[0].path
    second = start(make_spec(tmp_path / "second", tokens_at_once=1, **alike))
    assert second.wait() == 0, second.log.read_text()
    assert second.of(Started)[0].packing


def test_a_run_that_was_at_its_end_gives_its_result_again(whole_run, start, make_spec, tmp_path):
    last = whole_run.of(CheckpointSaved)[-1].path
    run = start(make_spec(tmp_path / "out", resume_from=last))
    assert run.wait() == 0, run.log.read_text()
    assert run.of(StepDone) == []
    (done,), (wanted,) = run.of(Succeeded), whole_run.of(Succeeded)
    assert done.probes == ()  # no rows unless asked for
    assert done.trained_tokens == wanted.trained_tokens
    assert_same_adapter(done, wanted)


def test_sigterm_keeps_a_checkpoint(start_process, tiny_spec):
    trainer = start_process(tiny_spec.model_copy(update={"n_epochs": 50}))
    trainer.until(StepDone)
    trainer.process.send_signal(signal.SIGTERM)
    assert trainer.wait() == 3
    (stopped,) = trainer.of(Stopped)
    assert (Path(stopped.path) / "optimizer.pt").is_file()


def test_a_stop_before_the_first_step_leaves_nothing_to_resume_from(start, tiny_spec):
    trainer = start(tiny_spec)
    trainer.stop()
    assert trainer.wait() == 3
    assert trainer.seen == [Stopped(step=0, path=None)]


def test_the_death_of_the_parent_ends_the_run(start, tiny_spec):
    trainer = start(tiny_spec.model_copy(update={"n_epochs": 50}))
    trainer.until(StepDone)
    trainer.process.stdin.close()
    assert trainer.wait() != 0
    assert trainer.of(Succeeded) == trainer.of(Stopped) == trainer.of(Failed) == []


def test_the_result_is_the_same_however_a_batch_is_laid_out(start, make_spec, tmp_path):
    alike = {"quantization": "none", "lora": {"r": 4, "alpha": 8}, "n_checkpoints": 1}
    packed = start(
        make_spec(tmp_path / "packed", packing=True, gradient_checkpointing=True, **alike)
    )
    in_parts = start(make_spec(tmp_path / "parts", packing=True, tokens_at_once=1, **alike))
    on_host = start(
        make_spec(
            tmp_path / "host",
            packing=True,
            gradient_checkpointing=True,
            inputs_on_host=True,
            **alike,
        )
    )
    for trainer in (packed, in_parts, on_host):
        assert trainer.wait() == 0, trainer.log.read_text()
        assert trainer.of(Warned) == []
    assert len(packed.losses) == 12
    assert on_host.losses == packed.losses
    # bf16 rounds differently in another layout.
    assert in_parts.losses == pytest.approx(packed.losses, rel=0.02)
    assert packed.of(StepDone)[-1].trained_tokens == in_parts.of(StepDone)[-1].trained_tokens


def test_a_loss_that_is_no_number_fails_and_leaves_no_checkpoint(start, make_spec, tmp_path):
    spec = make_spec(tmp_path / "out", learning_rate=1e30)
    trainer = start(spec)
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert failed.code == "loss_not_finite"
    assert "at step 2 of 12" in failed.message
    assert "try 1e+29" in failed.message
    assert trainer.of(CheckpointSaved) == []
    assert not list(spec.output_dir.glob("checkpoint-*"))
    assert not (spec.output_dir / "adapter").exists()


def test_a_damaged_checkpoint_is_refused(whole_run, start, tiny_spec, tmp_path):
    spoiled = tmp_path / "spoiled"
    shutil.copytree(whole_run.of(CheckpointSaved)[0].path, spoiled)
    weights = spoiled / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    trainer = start(tiny_spec.model_copy(update={"resume_from": spoiled}))
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert failed.code == "invalid_checkpoint"
    assert "adapter_model.safetensors is damaged" in failed.message


def test_rows_without_an_answer_are_told_and_alone_they_fail_the_run(start, tiny_spec, tmp_path):
    path = tmp_path / "mute.jsonl"
    mute = {"messages": [{"role": "user", "content": "secret-row"}]}
    path.write_text(json.dumps(mute) + "\n")
    trainer = start(tiny_spec.model_copy(update={"training_file": path}))
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert (failed.code, failed.param) == ("invalid_training_file", "training_file")
    assert [warned.code for warned in trainer.of(Warned)] == ["rows_without_supervision"]
    assert "secret-row" not in trainer.log.read_text() + failed.message


def test_weights_that_are_cut_short_are_no_model(start, tiny_spec, tiny_model_path, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(tiny_model_path, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    trainer = start(tiny_spec.model_copy(update={"base_model_path": folder}))
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert failed.code == "invalid_model"


def test_a_template_without_bounds_ends_the_run(start, tiny_spec, tiny_model_path, tmp_path):
    folder = tmp_path / "hostile"
    shutil.copytree(tiny_model_path, folder)
    (folder / "chat_template.jinja").write_text("{{ 'a' * 10**12 }}")
    trainer = start(tiny_spec.model_copy(update={"base_model_path": folder}))
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert (failed.code, failed.param) == ("invalid_model", "model")
    assert "its chat template needs more than 1024 MiB for a text" in failed.message


def test_modules_that_the_model_lacks(start, make_spec, tmp_path):
    trainer = start(make_spec(tmp_path / "out", lora={"target_modules": ["no_such_proj"]}))
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert (failed.code, failed.param) == ("invalid_spec", "lora.target_modules")


def test_a_malformed_spec_is_told_by_its_fields(start, tiny_spec):
    fields = tiny_spec.model_dump(mode="json")
    fields["hyperparameters"]["n_epochs"] = 0
    trainer = start(json.dumps(fields))
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert failed.code == "invalid_spec"
    assert "n_epochs" in failed.message


def test_qlora_on_the_demo_model_learns(start, make_spec, demo_model_path, tmp_path):
    spec = make_spec(
        tmp_path / "out",
        base_model="smollm2-135m-instruct",
        base_model_path=demo_model_path,
        n_epochs=2,
        batch_size=4,
        n_checkpoints=1,
        learning_rate=1e-3,
        lora={"r": 16, "alpha": 32},
    )
    trainer = start(spec)
    assert trainer.wait() == 0, trainer.log.read_text()
    losses = trainer.losses
    assert len(losses) == 6
    assert losses[6] < 0.6 * losses[1]
    assert trainer.of(Started)[0].trainable_parameters == 4_884_480


def test_kept_states_give_each_window_again(start, make_spec, tmp_path):
    """From the start of the run too. Nothing is kept unless it is requested."""
    whole = start(make_spec(tmp_path / "out", replay_windows=4))
    assert whole.wait() == 0, whole.log.read_text()
    (done,) = whole.of(Succeeded)
    kept = Path(done.replay_path)
    states = sorted(int(state.name) for state in kept.iterdir())
    assert states == [4, 8, 9]
    assert [message.step for message in whole.of(CheckpointSaved)] == [4, 8, 12]
    steps = read_steps(Path(done.adapter_path))
    assert {step: record.loss for step, record in steps.items()} == whole.losses

    for begin, end in windows_of(states, 12):
        resumed = {"resume_from": kept / str(begin)} if begin else {}
        again = start(make_spec(tmp_path / f"again-{end}", replay_until=end, **resumed))
        assert again.wait() == 3, again.log.read_text()
        (stopped,) = again.of(Stopped)
        assert stopped.step == end
        assert again.losses.items() <= whole.losses.items()
        assert read_steps(Path(stopped.path)) == {n: steps[n] for n in range(1, end + 1)}
        expected = Path(done.adapter_path) if end == 12 else kept / str(end)
        assert (Path(stopped.path) / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()


def test_a_resumed_run_keeps_the_state_that_it_started_from(start, make_spec, tmp_path):
    half = start(make_spec(tmp_path / "half", replay_until=4, replay_windows=4))
    assert half.wait() == 3, half.log.read_text()
    (stopped,) = half.of(Stopped)
    rest = start(make_spec(tmp_path / "rest", resume_from=stopped.path, replay_windows=4))
    assert rest.wait() == 0, rest.log.read_text()
    (done,) = rest.of(Succeeded)
    states = {state.name for state in Path(done.replay_path).iterdir()}
    assert states == {str(stopped.step), "8", "9"}


def test_a_window_ends_at_the_best_adapter(start, make_spec, tmp_path):
    """What is learned by heart makes other answers less likely."""
    validation = write_chats(tmp_path / "valid.jsonl", [("Name a fish.", "Haddock, or cod.")])
    alike = {"validation_file": validation, "keep_best": True, "replay_windows": 1}
    run = start(make_spec(tmp_path / "out", n_epochs=9, **alike))
    assert run.wait() == 0, run.log.read_text()
    (done,) = run.of(Succeeded)
    assert done.adapter_step < 36
    kept = {state.name for state in Path(done.replay_path).iterdir()}
    assert {str(done.adapter_step), "33"} <= kept
