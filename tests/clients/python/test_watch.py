"""Tests of watching a job live, across lost connections, until its end."""

from __future__ import annotations

import asyncio

import finetuned
import pytest
from finetuned._sse import Lines, Message

from tests.clients.python.relay import relayed
from tests.conftest import Api

pytestmark = pytest.mark.slow


def messages(events):
    return [event.message for event in events]


async def test_events_come_live_and_end_with_the_job(story, watched):
    watching = watched(story.job.id)
    await story.tell("one")
    await asyncio.sleep(0.5)
    await story.step(1, 2, 3.5)
    await story.end()
    events = await watching
    assert messages(events) == ["one", "Step 1/2: training loss=3.5", "The job has succeeded"]
    assert events[1].data == {"step": 1, "total_steps": 2, "train_loss": 3.5}


async def test_threads_watch_too(story, sync_client):
    watching = asyncio.create_task(
        asyncio.to_thread(lambda: list(sync_client.fine_tuning.jobs.watch(story.job.id)))
    )
    await story.tell("one", "two")
    await story.end()
    assert messages(await watching) == ["one", "two", "The job has succeeded"]


async def test_cut_stream_goes_on_where_it_was(api: Api, key, story, watched):
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url) as client,
    ):
        watching = watched(story.job.id, client)
        for number in range(6):
            await story.tell(f"event {number}")
            await asyncio.sleep(0.35)
            relay.cut()
        await story.end()
        events = await watching
        assert relay.connections >= 3
    assert messages(events) == [*(f"event {n}" for n in range(6)), "The job has succeeded"]


async def test_server_that_is_away_is_waited_for(api: Api, key, story, watched):
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url) as client,
    ):
        watching = watched(story.job.id, client)
        await story.tell("before")
        await asyncio.sleep(0.6)
        relay.refuses = True
        relay.cut()
        await asyncio.sleep(1.0)
        await story.tell("meanwhile")
        await story.end()
        relay.refuses = False
        assert messages(await watching) == ["before", "meanwhile", "The job has succeeded"]


async def test_patience_ends(api: Api, key, story):
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url) as client,
    ):
        relay.refuses = True
        with pytest.raises(finetuned.ConnectionFailed):
            async for _ in client.fine_tuning.jobs.watch(story.job.id, patience_s=0.5):
                pass


async def test_known_events_are_not_told_again(story, client):
    await story.tell("one", "two")
    await story.end()
    first = await anext(client.fine_tuning.jobs.watch(story.job.id))
    rest = [event async for event in client.fine_tuning.jobs.watch(story.job.id, after=first.id)]
    assert messages(rest) == ["two", "The job has succeeded"]


async def test_unknown_job_is_told_at_once(client):
    with pytest.raises(finetuned.NotFound):
        async for _ in client.fine_tuning.jobs.watch("ftjob-unknown"):
            pass


async def test_leaving_early_closes_the_stream(story, sync_client):
    """Many abandoned watches must not keep later ones waiting for a connection."""
    await story.tell("one")

    def leave() -> None:
        for _ in range(120):  # more than the pool has connections
            next(sync_client.fine_tuning.jobs.watch(story.job.id))

    await asyncio.wait_for(asyncio.to_thread(leave), 30)


async def test_wait_answers_the_final_job(story, client):
    waiting = asyncio.create_task(client.fine_tuning.jobs.wait(story.job.id))
    await story.end()
    assert (await waiting).status == "succeeded"
    with pytest.raises(finetuned.NotFound):
        await client.fine_tuning.jobs.wait("ftjob-unknown")


def test_messages_are_read_however_they_are_cut():
    text = (
        'id: a-1\nevent: x\ndata: {"a": "é"}\n\n: keep-alive\ndata: two\ndata: lines\r\n\r\n'
        "data: cut off\n"
    ).encode()
    wanted = [Message('{"a": "é"}', "a-1"), Message("two\nlines", "a-1")]
    for size in (1, 2, 7, len(text)):
        lines = Lines()
        cuts = [text[i : i + size] for i in range(0, len(text), size)]
        assert [m for cut in cuts for m in lines.feed(cut)] == wanted
