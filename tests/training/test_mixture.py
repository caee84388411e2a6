"""Tests of mixtures of training files: what is drawn, what is held out, and how a run continues."""

import json
from collections import Counter

import pytest

from service.training import Failed, Noted, Started, Succeeded, Warned
from service.training.contract.spec import MixedRows, drawn_per_epoch
from service.training.data.held_out import choose_held_out_rows, choose_validation_rows
from service.training.data.layout import Portion, draw_examples, split_by_file
from service.training.data.rows import Chat

from .conftest import assert_same_adapter, write_chats


@pytest.mark.parametrize(
    ("count", "weight", "drawn"),
    [(10, 1, 10), (10, 0.25, 3), (10, 2, 20), (3, 0.5, 2), (10, 0.001, 1), (0, 2, 0)],
)
def test_rows_of_an_epoch(count, weight, drawn):
    assert drawn_per_epoch(count, weight) == drawn


def test_epochs_draw_different_examples_until_all_were_drawn():
    portions = [Portion(10, 1.0), Portion(100, 0.25), Portion(4, 2.5)]
    epochs = [draw_examples(portions, seed=3, epoch=epoch) for epoch in range(4)]
    for drawn in epochs:
        counts = Counter(drawn)
        assert len(drawn) == 10 + 25 + 10
        assert [counts[at] for at in range(10)] == [1] * 10
        assert all(counts[at] <= 1 for at in range(10, 110))
        assert {counts[at] for at in range(110, 114)} == {2, 3}
    assert {at for drawn in epochs for at in drawn if 10 <= at < 110} == set(range(10, 110))
    assert epochs[2] == draw_examples(portions, seed=3, epoch=2)
    assert epochs[2] != draw_examples(portions, seed=4, epoch=2)


def test_lines_are_those_of_the_file():
    rows = [Chat(line=line, messages=(), supervised=()) for line in (1, 3, 5, 6)]
    parts = [MixedRows(file=name, rows=count, weight=1) for name, count in (("a", 4), ("b", 2))]
    found = [(at, [row.line for row in own]) for at, own in split_by_file(rows, parts)]
    assert found == [(0, [1, 3]), (1, [1, 2])]


def test_held_out_rows_are_of_the_mixture_and_not_of_the_largest_file():
    keys = [b"%d" % n for n in range(10_500)]
    aside = choose_validation_rows(keys, 0.1, 7, [1.0] * 500 + [0.05] * 10_000)
    assert len(aside) == 100
    assert 30 <= sum(row < 500 for row in aside) <= 70
    # Rows that are drawn several times are no more likely.
    twice = choose_validation_rows(keys[:600], 0.1, 7, [3.0] * 100 + [1.0] * 500)
    assert len(twice) == 60
    assert sum(row < 100 for row in twice) < 25


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Twelve chats and eight others in one file, of which an epoch draws 12 and 4."""
    pairs = [(f"What is {n} and {n}?", f"Aye, it is {2 * n}.") for n in range(12)]
    general = [(f"Name {n}!", f"Its name is {'N' * n}.") for n in range(8)]
    path = write_chats(tmp_path_factory.mktemp("mixed") / "rows.jsonl", pairs + general)
    parts = [("file-own", 12, 1.0), ("file-general", 8, 0.5)]
    mixture = [{"file": name, "rows": rows, "weight": weight} for name, rows, weight in parts]
    return {"training_file": path, "mixture": mixture, "batch_size": 4, "n_epochs": 4}


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_the_same_draws(start, make_spec, mixed, tmp_path):
    """Also with some rows held out."""
    mixed = {**mixed, "validation_share": 0.1}
    whole = start(make_spec(tmp_path / "whole", **mixed))
    assert whole.wait() == 0, whole.log.read_text()
    first = start(make_spec(tmp_path / "first", **mixed))
    stopped = first.stop_after(6)
    second = start(make_spec(tmp_path / "second", **mixed, resume_from=stopped.path))
    assert second.wait() == 0, second.log.read_text()
    assert first.losses | second.losses == whole.losses
    assert_same_adapter(second.of(Succeeded)[0], whole.of(Succeeded)[0])

    spec = make_spec(tmp_path / "out", **mixed)
    aside, count = choose_held_out_rows(mixed["training_file"], "chat", 0.1, 5, spec.mixture)
    (started,) = whole.of(Started)
    kept = [sum(at not in aside for at in range(*bounds)) for bounds in ((0, 12), (12, 20))]
    assert count == 20
    assert started.validation_examples == len(aside) == 2  # a tenth of 12 + 8 / 2
    assert started.examples == kept[0] + drawn_per_epoch(kept[1], 0.5)
    assert "2 of 20 rows" in whole.of(Noted)[0].message

    other = {**mixed, "mixture": [mixed["mixture"][0], {**mixed["mixture"][1], "weight": 0.4}]}
    changed = start(make_spec(tmp_path / "other", **other, resume_from=stopped.path))
    assert changed.wait() != 0
    assert changed.of(Failed)[0].code == "invalid_checkpoint"


@pytest.mark.slow
def test_messages_name_the_file_and_its_line(start, make_spec, mixed, tmp_path):
    """The second row of the second file is too long."""
    lines = mixed["training_file"].read_text().splitlines()
    lines[13] = json.dumps({"messages": _turns("long", "so " * 500)})
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n")
    run = start(make_spec(tmp_path / "out", **{**mixed, "training_file": path, "n_epochs": 1}))
    assert run.wait() == 0, run.log.read_text()
    (warned,) = run.of(Warned)
    assert warned.code == "rows_truncated"
    assert warned.message.startswith("file-general: 1 of 8 rows")
    assert "(line 2)" in warned.message

    lines[12:] = [json.dumps({"messages": _turns("q", "")})] * 8
    path.write_text("\n".join(lines) + "\n")
    silent = start(make_spec(tmp_path / "silent", **{**mixed, "training_file": path}))
    assert silent.wait() != 0
    (failed,) = silent.of(Failed)
    assert (failed.code, failed.param) == ("invalid_training_file", "mixed_files")
    assert "None of the 8 rows of file-general" in failed.message


def _turns(question, answer):
    weight = {} if answer else {"weight": 0}
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer or "x", **weight},
    ]
