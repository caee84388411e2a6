"""Rows of a job as questions with a reference answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.config import Settings
from service.jobs.evaluation.columns import cluster_of
from service.jobs.evaluation.job_data import (
    Data,
    JobFiles,
    find_held_out,
    only_model_thinks,
    read_data,
    sample,
)
from service.models.catalogue import BaseModelEntry
from service.training.contract.spec import MixedRows
from service.training.data.held_out import choose_held_out_rows, choose_test_rows
from tests.models.folders import with_template

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


PARTS = [("file-a", 20, 1.0), ("file-b", 100, 0.2)]


def chat(question: str, answer: str, **more: object) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **more}


@pytest.fixture
def write(tmp_path):
    def write(name: str, rows: list[dict[str, Any]]):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return path

    return write


def read(
    training: Path | None,
    validation: Path | None,
    mixture: Sequence[MixedRows] = (),
    **options: Any,
) -> Data:
    """The rows of a job, read as an evaluation reads them."""
    files = JobFiles(training, tuple(mixture), validation)
    asked = {"row_format": "chat", "share": None, "seed": 1, **options}
    return read_data(files, find_held_out(files, **asked))


def test_a_validation_file_is_held_out_whole(write):
    training = write("t.jsonl", [chat(f"q{i}", f"a{i}") for i in range(5)])
    validation = write("v.jsonl", [chat("q9", "a9")])
    found = read(training, validation)
    assert [e.answer for e in found.held_out] == ["a9"]
    assert len(found.training) == 5


@pytest.mark.parametrize(
    ("template", "answer", "at_once"),
    [
        ("qwen3", "a", True),
        ("qwen3", "<think>so</think>a", False),
        ("qwen2_5", "a", False),
    ],
)
def test_a_reasoning_model_does_not_think_if_the_rows_hold_no_reasoning(
    template, answer, at_once, write, tmp_path
):
    folder = with_template(tmp_path / "base", template)
    entry = BaseModelEntry(id="m", path=folder, license="mit", context_length=64)
    validation = write("v.jsonl", [chat("q", answer)])
    data = read(None, validation)
    assert [e.answer for e in data.held_out] == ["a"]
    assert only_model_thinks(Settings(), entry, data) is at_once


def test_a_share_is_what_the_trainer_holds_out(write):
    training = write("t.jsonl", [chat(f"q{i}", f"a{i}") for i in range(40)])
    places, count = choose_held_out_rows(training, "chat", 0.2, 7)
    found = read(training, None, share=0.2, seed=7)
    assert count == 40
    assert {e.line - 1 for e in found.held_out} == places
    assert {e.line - 1 for e in found.training} == set(range(40)) - places


def test_of_a_mixture_too_and_the_files_have_their_share(write):
    training = write("t.jsonl", [chat(f"q{i}", f"a{i}") for i in range(120)])
    mixture = [MixedRows(file=name, rows=rows, weight=weight) for name, rows, weight in PARTS]
    places, _ = choose_held_out_rows(training, "chat", 0.2, 7, mixture)
    found = read(training, None, mixture, share=0.2, seed=7)
    assert {e.line - 1 for e in found.held_out} == places
    assert len(places) == 8  # of 20 + 100 / 5
    assert sum(place < 20 for place in places) >= 2


@pytest.mark.parametrize("share", [0.3, None])
def test_rows_that_choose_do_not_judge(write, share: float | None):
    """Rows with one prompt stay together, and the trainer chooses by the other half."""
    rows = [chat(f"q{i // 2}", f"a{i}") for i in range(80)]
    training, given = write("t.jsonl", rows), write("v.jsonl", [chat(f"v{r}", "a") for r in rows])
    validation = given if share is None else None
    source, every = (
        (given, range(80))
        if share is None
        else (training, choose_held_out_rows(training, "chat", share, 7)[0])
    )
    whole = read(training, validation, share=share, seed=7)
    found = read(training, validation, share=share, seed=7, keeps_test_rows=True)
    tested = {e.line - 1 for e in found.held_out}
    assert tested == choose_test_rows(source, "chat", 7, every, param="p")
    assert found.selecting == len(every) - len(tested) == len(every) / 2
    assert {e.question for e in found.held_out}.isdisjoint(
        e.question for e in whole.held_out if e.line - 1 not in tested
    )
    assert found.training == whole.training


def test_rows_with_one_prompt_all_choose(write):
    found = read(
        None, write("v.jsonl", [chat("q", f"a{i}") for i in range(9)]), keeps_test_rows=True
    )
    assert (found.held_out, found.selecting) == ([], 9)


def test_the_last_answer_is_the_reference(write):
    row = {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "Two?"},
            {"role": "assistant", "content": "2"},
        ]
    }
    (example,) = read(None, write("v.jsonl", [row])).held_out
    assert example.answer == "2"
    assert example.question == "Two?"
    assert [m["role"] for m in example.prompt] == ["system", "user", "assistant", "user"]


def test_rows_with_tools_can_be_left_out(write):
    rows = [chat("q", "a", tools=[TOOL]), chat("r", "b")]
    training, validation = write("t.jsonl", rows), write("v.jsonl", rows)
    found = read(training, validation)
    assert [e.answer for e in found.held_out] == ["a", "b"]
    fewer = found.without_tools()
    assert [e.answer for e in fewer.held_out] == [e.answer for e in fewer.training] == ["b"]
    assert (len(found.rows), len(fewer.rows)) == (4, 2)
    assert (fewer.skipped, fewer.without_calls) == (0, 1)


def test_tools_that_are_not_declared_are_counted_and_left_out(write):
    call = {"type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    row = chat("q", "a")
    row["messages"][1:1] = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", **call}]},
        {"role": "tool", "content": "7", "tool_call_id": "c"},
    ]
    validation = write("v.jsonl", [row, {**row, "tools": [TOOL]}])
    found = read(None, validation)
    assert len(found.held_out) == found.skipped == 1


def test_answers_marked_as_bad_are_no_reference(write):
    rows = [chat("q", "good", label=True), chat("r", "bad", label=False)]
    found = read(None, write("v.jsonl", rows), row_format="labeled")
    assert [e.answer for e in found.held_out] == ["good"]
    assert found.skipped == 0


def test_the_preferred_answer_is_the_reference(write):
    row = {
        "input": {"messages": [{"role": "user", "content": "q"}]},
        "preferred_output": [{"role": "assistant", "content": "better"}],
        "non_preferred_output": [{"role": "assistant", "content": "worse"}],
    }
    (example,) = read(None, write("v.jsonl", [row]), row_format="preference").held_out
    assert (example.question, example.answer) == ("q", "better")


def test_the_same_question_is_one_cluster(write):
    rows = [chat("What?", "a"), chat("what? ", "b"), chat("Why?", "c")]
    found = read(None, write("v.jsonl", rows)).held_out
    clusters = [cluster_of(e) for e in found]
    assert clusters[0] == clusters[1] != clusters[2]


def test_a_sample_depends_on_the_seed_alone(write):
    rows = [chat(f"q{i}", f"a{i}") for i in range(50)]
    found = read(None, write("v.jsonl", rows)).held_out
    first, again, other = (sample(found, 10, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert [e.line for e in first] == sorted(e.line for e in first)
    assert sample(found, 99, 1) == list(found)
