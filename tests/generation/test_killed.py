"""A worker that is killed or shut down in the middle of a generation, and given-up attempts."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from typing import Any

import httpx
import pytest

from service.config import Settings
from service.core import clock, ids
from service.generation.records import (
    GenerationFault,
    GenerationRecord,
    GenerationStatus,
    RowKind,
)
from service.work.records import AttemptSuperseded, WorkEnded
from tests.cached import ROOT
from tests.evals.conftest import Engine
from tests.evals.test_killed import environment
from tests.generation.conftest import (
    AT_ONCE,
    DONE_S,
    Model,
    created,
    document,
    ended,
    handbook,
    rows_of,
    until,
)

FAULT = GenerationFault(code="x", message="It failed.")


def worker_environment(settings: Settings) -> dict[str, str]:
    """The environment of a worker process with these settings."""
    return environment(settings) | {"FINETUNED_GENERATION_REQUESTS_AT_ONCE": str(AT_ONCE)}


@pytest.mark.slow
async def test_kill_9_repeats_and_loses_no_row(
    http: httpx.AsyncClient, model: Model, work, settings
):
    async def wait(_: str) -> None:
        await asyncio.sleep(0.02)

    model.wait = wait
    made = await created(http, await document(http, handbook(*range(1, 61))), n=60)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "worker", "--queues", "cpu"),
        env=worker_environment(settings),
        cwd=ROOT,
    )
    try:
        before = await until(http, made, lambda one: one["counts"]["kept"] >= 12)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    asked = set(model.rooms("rows"))
    async with work("cpu"):
        made = await ended(http, made)
    assert (made["status"], made["counts"]["kept"]) == ("completed", 60)
    assert before["counts"]["kept"] < 60
    rows = await rows_of(http, made)
    questions = Counter(row["messages"][0]["content"] for row in rows)
    assert (len(questions), max(questions.values())) == (60, 1)
    # The number of a passage is part of its rows' IDs, whichever attempt wrote them.
    assert [row["generated"]["id"] for row in rows] == [
        f"{made['id']}-{number:06d}-00" for number in range(60)
    ]
    # The kill repeats at most what was in flight, or waited to be stored.
    again = Counter(model.rooms("rows"))
    assert max(again.values()) <= 2
    assert asked <= set(again)
    assert sum(again.values()) <= 60 + before["counts"]["kept"]


@pytest.mark.slow
async def test_a_worker_that_shuts_down_hands_the_generation_back(
    http, model: Model, engine: Engine, work
):
    held = asyncio.Event()

    async def wait(name: str) -> None:
        if name == "rows" and len(model.rooms("rows")) > 4:
            await held.wait()

    model.wait = wait
    made = await created(http, await document(http, handbook(*range(1, 21))), n=10)
    async with work("cpu"):
        await until(http, made, lambda one: one["counts"]["kept"] == 4)
        async with asyncio.timeout(DONE_S):
            while engine.in_flight < AT_ONCE:
                await asyncio.sleep(0.01)
    assert (await until(http, made, bool))["status"] == "in_progress"
    model.asked.clear()
    held.set()
    async with work("cpu"):
        made = await ended(http, made)
    assert len(await rows_of(http, made)) == 10
    assert len(model.rooms("rows")) == 6  # what was done is not asked again


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
