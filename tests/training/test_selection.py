"""Tests of early stopping and the best checkpoint: the rule, and complete runs."""

import json
import shutil
from pathlib import Path

import pytest

from service.training import (
    CheckpointSaved,
    EarlyStopping,
    Failed,
    Noted,
    Started,
    StepDone,
    Stopped,
    Succeeded,
    Warned,
)
from service.training.loop.selection import STATE_NAME, Selection
from tests.lazy import Lazy

from .conftest import Starter, write_chats

pytestmark = pytest.mark.slow

safetensors = Lazy("safetensors.torch")
checkpoints = Lazy("service.training.loop.checkpoints")


def observed(losses, rule):
    selection = Selection()
    for step, loss in enumerate(losses, start=1):
        selection.observe(step, loss, rule)
        if selection.is_over:
            break
    return selection


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "ends", "best"),
    [
        ([3, 2, 1], 1, 0, None, 3),
        ([3, 2, 2.5, 2.4, 1], 2, 0, 4, 2),
        ([3, 2, 2.5, 1.9, 2], 2, 0, None, 4),
        ([3, 3, 3], 2, 0, 3, 1),
        # Small gains do not count, yet the lowest is the best.
        ([3, 2.95, 2.9, 2.85], 2, 0.2, 3, 3),
        ([3, 2.9, 2.7, 2.6, 2.4], 2, 0.2, None, 5),
    ],
)
def test_the_rule(losses, patience, min_delta, ends, best):
    selection = observed(losses, EarlyStopping(patience=patience, min_delta=min_delta))
    assert selection.is_over is (ends is not None)
    assert selection.evaluated_step == (ends or len(losses))
    assert selection.best_step == best


def test_without_a_rule_no_run_is_ever_over():
    selection = observed([1, 2, 3, 4], None)
    assert not selection.is_over
    assert selection.best_step == 1


@pytest.fixture(scope="module")
def make_selecting(make_spec, tmp_path_factory):
    """A spec with six evaluations whose validation loss is lowest at the third: other answers."""
    pair = ("What is 40 and 2?", "Aye, no idea of sums, ask the others.")
    validation = write_chats(tmp_path_factory.mktemp("valid") / "valid.jsonl", [pair] * 3)

    def make(folder, **changes):
        given = {
            "validation_file": validation,
            "n_checkpoints": 6,
            "early_stopping": {"patience": 2},
            "keep_best": True,
        }
        return make_spec(folder, **(given | changes))

    return make


@pytest.fixture(scope="module")
def whole_selecting(make_selecting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole-selecting")
    with Starter(folder) as begin:
        run = begin(make_selecting(folder / "out"))
        assert run.wait() == 0, run.log.read_text()
    return run


def weights(path):
    return safetensors.load_file(Path(path) / "adapter_model.safetensors")


def equal(one, other):
    return one.keys() == other.keys() and all(one[n].equal(other[n]) for n in one)


@pytest.mark.e2e
def test_a_run_ends_when_it_gets_no_better_and_gives_the_best(whole_selecting):
    losses = {s.step: s.full_valid_loss for s in whole_selecting.of(StepDone) if s.full_valid_loss}
    assert list(losses) == [2, 4, 6, 8, 10]
    assert min(losses, key=losses.__getitem__) == 6
    (done,) = whole_selecting.of(Succeeded)
    assert (done.final_step, done.adapter_step, done.stopped_early) == (10, 6, True)
    saved = {message.step: message.path for message in whole_selecting.of(CheckpointSaved)}
    assert equal(weights(done.adapter_path), weights(saved[6]))
    assert not equal(weights(done.adapter_path), weights(saved[10]))
    told = {note.code: note.message for note in whole_selecting.of(Noted)}
    assert "ended at step 10 of 12" in told["stopped_early"]
    assert "adapter of step 6 is kept" in told["best_kept"]
    assert f"{losses[6]:.4f}" in told["best_kept"]


def is_the_same_end(whole_selecting, run):
    (done,), (wanted,) = run.of(Succeeded), whole_selecting.of(Succeeded)
    assert (done.final_step, done.adapter_step, done.stopped_early) == (
        wanted.final_step,
        wanted.adapter_step,
        wanted.stopped_early,
    )
    assert run.of(Noted) == whole_selecting.of(Noted)
    assert equal(weights(done.adapter_path), weights(wanted.adapter_path))


@pytest.mark.e2e
def test_a_stopped_run_remembers_patience_and_best(
    whole_selecting, start, make_selecting, tmp_path
):
    first = start(make_selecting(tmp_path / "first"))
    stopped = first.stop_after(7)
    # Its folder is copied; the one with the best adapter is not.
    kept = shutil.copytree(stopped.path, tmp_path / "kept")
    shutil.rmtree(tmp_path / "first")
    second = start(make_selecting(tmp_path / "second", resume_from=kept))
    assert second.wait() == 0, second.log.read_text()
    assert first.losses | second.losses == whole_selecting.losses
    is_the_same_end(whole_selecting, second)


@pytest.mark.e2e
def test_a_run_that_was_over_stays_over(whole_selecting, start, make_selecting, tmp_path):
    last = whole_selecting.of(CheckpointSaved)[-1].path
    run = start(make_selecting(tmp_path / "out", resume_from=last))
    assert run.wait() == 0, run.log.read_text()
    assert run.of(StepDone) == []
    is_the_same_end(whole_selecting, run)


@pytest.mark.e2e
def test_an_evaluation_that_a_stop_cut_short_is_made_up_for(
    whole_selecting, start, make_selecting, tmp_path
):
    saved = {message.step: message.path for message in whole_selecting.of(CheckpointSaved)}
    checkpoint = Path(shutil.copytree(saved[10], tmp_path / "cut"))
    before = json.loads((Path(saved[8]) / STATE_NAME).read_text())
    assert before["evaluated_step"] == 8
    (checkpoint / STATE_NAME).write_text(json.dumps(before))
    record = checkpoints.Seal.model_validate_json((checkpoint / checkpoints.SEAL_NAME).read_bytes())
    (checkpoint / checkpoints.SEAL_NAME).unlink()
    checkpoints.seal(checkpoint, record.run, step=10, trained_tokens=record.trained_tokens)
    run = start(make_selecting(tmp_path / "out", resume_from=checkpoint))
    assert run.wait() == 0, run.log.read_text()
    assert run.of(StepDone) == []
    is_the_same_end(whole_selecting, run)


@pytest.mark.e2e
def test_a_stop_at_the_last_step_loses_no_evaluation(start, make_selecting, tmp_path):
    def spec(name, **changes):
        given = {"early_stopping": None, "n_checkpoints": 1, "n_epochs": 1}
        return make_selecting(tmp_path / name, **(given | changes))

    whole = start(spec("whole"))
    assert whole.wait() == 0, whole.log.read_text()
    run = start(spec("first"))
    for message in run:
        if isinstance(message, StepDone) and message.step == 3:
            run.stop()
    if run.wait() == 3:  # and not too fast for the command
        (stopped,) = run.of(Stopped)
        assert stopped.step == 4
        run = start(spec("second", resume_from=stopped.path))
        assert run.wait() == 0, run.log.read_text()
        assert run.of(StepDone) == []
    assert whole.of(Succeeded)[0].adapter_step == 4
    is_the_same_end(whole, run)


@pytest.mark.e2e
def test_a_share_of_the_rows_is_set_aside(start, make_spec, tmp_path):
    given = {"validation_share": 0.25, "keep_best": True, "keeps_test_rows": True, "n_epochs": 2}
    run = start(make_spec(tmp_path / "out", **given))
    assert run.wait() == 0, run.log.read_text()
    (started,) = run.of(Started)
    assert (started.examples, started.validation_examples) == (9, 1)
    told = {note.code: note.message for note in run.of(Noted)}
    assert told["validation_split"].startswith("3 of 12 rows (25.0%) were set aside")
    assert told["test_split"].startswith("2 of the held-out rows are kept for the evaluation")
    assert all(saved.metrics.full_valid_loss for saved in run.of(CheckpointSaved))


@pytest.mark.e2e
def test_rows_of_one_prompt_alone_are_not_divided(start, make_spec, tmp_path):
    path = write_chats(tmp_path / "one.jsonl", [("Hi", f"Aye {n}") for n in range(12)])
    given = {"training_file": path, "validation_share": 0.25, "n_epochs": 1}
    run = start(make_spec(tmp_path / "a", **given))
    assert run.wait() == 0, run.log.read_text()
    assert [warned.code for warned in run.of(Warned)] == ["validation_not_split"]
    run = start(make_spec(tmp_path / "b", **given, keep_best=True))
    assert run.wait() == 1
    (failed,) = run.of(Failed)
    assert (failed.code, failed.param) == ("invalid_training_file", "validation_share")
