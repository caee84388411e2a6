"""A worker that is killed or shut down in the middle of a batch, and attempts that are given up."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from service.batches.records import (
    Batches,
    BatchFault,
    BatchRecord,
    BatchStatus,
    BatchTally,
)
from service.batches.request_work import RequestWork
from service.batches.results import response_line
from service.batches.task import BatchAttempt
from service.core import clock, ids
from service.inference.background.crew import WAITING
from service.work.parts import PartWriter
from service.work.records import AttemptSuperseded, WorkEnded
from tests.batches.conftest import (
    AT_ONCE,
    DONE_S,
    answered,
    created,
    ended,
    replies,
    requests,
    results,
    until,
)
from tests.conftest import Api
from tests.evals.conftest import Engine
from tests.killed_worker import killed_worker

FAULT = BatchFault(code="x", message="It failed.")


def asked(engine: Engine) -> Counter[str]:
    """How often the engine was asked each question."""
    return Counter(engine.questions)


@pytest.mark.slow
async def test_kill_9_repeats_and_loses_no_request(
    sdk: openai.AsyncOpenAI, engine: Engine, work, settings
):
    async def reply(http_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return await replies(http_request, body)

    engine.reply = reply
    batch = await created(sdk, requests(200))
    at_once = str(settings.batch_requests_at_once)
    async with killed_worker(settings, batch_requests_at_once=at_once):
        await until(sdk, batch, lambda batch: answered(batch) >= 40)
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert (batch.status, answered(batch), batch.error_file_id) == ("completed", 200, None)
    found = await results(sdk, batch.output_file_id)  # each once
    assert found.keys() == {f"request-{n}" for n in range(200)}
    assert batch.usage is not None
    assert batch.usage.total_tokens == 200 * 12
    # The kill repeats at most what was in flight, or waited to be stored.
    assert max(asked(engine).values()) <= 2
    assert sum(asked(engine).values()) <= 200 + AT_ONCE + WAITING


@pytest.mark.slow
async def test_a_worker_that_shuts_down_hands_the_batch_back(sdk, engine: Engine, work):
    held = asyncio.Event()

    async def reply(http_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(engine.seen) > 10:
            await held.wait()
        return await replies(http_request, body)

    engine.reply = reply
    batch = await created(sdk, requests(30))
    async with work("cpu"):
        await until(sdk, batch, lambda batch: answered(batch) == 10)
        async with asyncio.timeout(DONE_S):
            while engine.in_flight < AT_ONCE:
                await asyncio.sleep(0.01)
    assert (await sdk.batches.retrieve(batch.id)).status == "in_progress"
    before = len(engine.seen)
    held.set()
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert len(await results(sdk, batch.output_file_id)) == 30
    assert len(engine.seen) == before + 20  # what was done is not asked again


@pytest.fixture
async def batch(sdk: openai.AsyncOpenAI, api: Api) -> BatchRecord:
    """A batch whose requests are being answered by an attempt of nobody."""
    shown = await created(sdk, requests(3))
    project = await api.app.state.projects.by_name("acme")
    found = await api.app.state.batches.get(project.id, shown.id)
    return await api.app.state.batches.change(found, lambda r: r.begin(3, "m", 1))


class CanceledAfterwards(Batches):
    """Batches whose worker is canceled while it waits for the answer to the last transaction."""

    async def change_own(self, *args: Any, **kwargs: Any) -> BatchRecord:
        after = await super().change_own(*args, **kwargs)
        if after.is_final:
            raise asyncio.CancelledError
        return after


async def test_files_of_an_ended_batch_outlive_its_canceled_worker(
    sdk: openai.AsyncOpenAI, api: Api, batch: BatchRecord, tmp_path: Path
):
    state = api.app.state
    batches = CanceledAfterwards(state.files)
    line = response_line("request-0", status=200, body={"id": "x"})
    part = await PartWriter(state.files.storage, batch).write([line], "output")
    await batches.add_parts(batch, lambda r: r.advance(BatchTally(completed=1)), {part: [0]})
    last = await batches.change(batch, lambda r: r.finalize(BatchStatus.COMPLETED, 2))

    def no_work(_: BatchRecord) -> RequestWork:
        raise AssertionError("all requests have results")

    attempt = BatchAttempt(
        last,
        batches=batches,
        registry=state.registry,
        request_work=no_work,
        max_body_bytes=1000,
        concurrency=1,
        folder=tmp_path,
    )
    with pytest.raises(asyncio.CancelledError):
        await attempt.run()
    done = await sdk.batches.retrieve(batch.id)
    assert done.status == "completed"
    assert (await results(sdk, done.output_file_id)).keys() == {"request-0"}


def record(**fields: Any) -> BatchRecord:
    now_s = clock.now_s()
    return BatchRecord(
        id=ids.new(ids.BATCH),
        project_id="proj_a",
        created_at=now_s,
        key_id="key_a",
        endpoint="/v1/completions",
        input_file_id="file-a",
        completion_window="24h",
        expires_at=now_s + 1,
        **fields,
    )


def test_a_cancellation_wins():
    started = record().begin(10, "m", 100)
    assert (started.status, started.in_progress_at) == (BatchStatus.IN_PROGRESS, 100)
    cancelling = started.cancel(101)
    assert cancelling.cancel(102) == cancelling
    for kept in (
        cancelling.begin(10, "m", 103),
        cancelling.finalize(BatchStatus.COMPLETED, 103),
    ):
        assert kept == cancelling
    done = cancelling.finish(104, output="file-b", errors=None)
    assert (done.status, done.cancelled_at, done.output_file_id) == ("cancelled", 104, "file-b")
    finalizing = started.finalize(BatchStatus.EXPIRED, 105)
    for ended_batch in (done, finalizing):
        with pytest.raises(WorkEnded):
            ended_batch.cancel(106)
    with pytest.raises(AttemptSuperseded):
        done.require_attempt(started)


def test_a_batch_that_kills_its_workers_fails_with_the_results_that_it_has():
    started = record().begin(10, "m", 100)
    lost = started.lose_attempt(2, 101)
    assert (lost.attempt, lost.status) == (2, BatchStatus.IN_PROGRESS)
    failing = lost.lose_attempt(2, 102)
    assert (failing.attempt, failing.status) == (3, BatchStatus.FINALIZING)
    assert (failing.ending, failing.fruitless_attempts) == (BatchStatus.FAILED, 0)
    again = failing.lose_attempt(2, 103)
    given_up = again.lose_attempt(2, 104)
    assert (given_up.status, given_up.failed_at) == (BatchStatus.FAILED, 104)
    assert [fault.code for fault in given_up.errors] == [BatchRecord.work.interrupted]
    with pytest.raises(AttemptSuperseded):
        given_up.require_attempt(given_up)
    failed = failing.finish(106, output="file-b", errors=None)
    assert (failed.status, failed.failed_at) == (BatchStatus.FAILED, 106)
    assert record().give_up(FAULT.code, FAULT.message, 107).errors == (FAULT,)
