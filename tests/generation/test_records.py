"""The states of a generation: cancellations, and attempts that are given up."""

from __future__ import annotations

from typing import Any

import pytest

from service.core import clock, ids
from service.generation.records import (
    GenerationFault,
    GenerationRecord,
    GenerationStatus,
    RowKind,
)
from service.work.records import AttemptSuperseded, WorkEnded

FAULT = GenerationFault(code="x", message="It failed.")


def record(**fields: Any) -> GenerationRecord:
    return GenerationRecord(
        id=ids.new(ids.GENERATION),
        project_id="proj_a",
        created_at=clock.now_s(),
        key_id="key_a",
        documents=("file-a",),
        model="m",
        kinds=(RowKind.QUESTIONS,),
        language=None,
        n=10,
        max_tokens_total=None,
        seed=0,
        **fields,
    )


def test_a_cancellation_wins():
    started = record().begin(5, 100)
    assert (started.status, started.in_progress_at) == (GenerationStatus.IN_PROGRESS, 100)
    cancelling = started.cancel(101)
    assert cancelling.cancel(102) == cancelling
    for kept in (
        cancelling.begin(5, 103),
        cancelling.complete(None),
        cancelling.fail(FAULT),
    ):
        assert kept == cancelling
    done = cancelling.finish(104, output="file-b")
    assert (done.status, done.cancelled_at, done.output_file_id) == ("cancelled", 104, "file-b")
    ending = started.complete(None)
    for ended_one in (done, ending):
        with pytest.raises(WorkEnded):
            ended_one.cancel(105)
    with pytest.raises(AttemptSuperseded):
        done.require_attempt(started)


def test_a_generation_that_kills_its_workers_fails_with_the_rows_that_it_has():
    started = record().begin(5, 100)
    lost = started.lose_attempt(2, 101)
    assert (lost.attempt, lost.status) == (2, GenerationStatus.IN_PROGRESS)
    failing = lost.lose_attempt(2, 102)
    assert (failing.attempt, failing.status) == (3, GenerationStatus.IN_PROGRESS)
    assert (failing.ending, failing.fruitless_attempts) == (GenerationStatus.FAILED, 0)
    again = failing.lose_attempt(2, 103)
    given_up = again.lose_attempt(2, 104)
    assert (given_up.status, given_up.failed_at) == (GenerationStatus.FAILED, 104)
    assert given_up.error is not None
    assert given_up.error.code == GenerationRecord.work.interrupted
    with pytest.raises(AttemptSuperseded):
        given_up.require_attempt(given_up)
    failed = failing.finish(106, output="file-b")
    assert (failed.status, failed.failed_at) == (GenerationStatus.FAILED, 106)
    assert record().give_up(FAULT.code, FAULT.message, 107).error == FAULT
