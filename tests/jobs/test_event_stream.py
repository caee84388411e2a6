"""Tests of event streams: they follow what other connections write, and cost nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack

import httpx
import pytest

from service.core.invalidation import InvalidationKind, Invalidations, publish
from service.core.records import Also
from service.core.redis import Client, connect
from service.jobs import lifecycle
from service.jobs.event_stream import JobChanges
from service.jobs.records import JobRecord, Jobs, NewEvent
from service.projects.records import INSTALLATION, digest_of
from tests.conftest import BASE_MODEL, Api

JOBS = "/v1/fine_tuning/jobs"
# Shorter than the time after which a stream reads without having been woken.
PUSHED_S = 25


@pytest.fixture
async def job_id(http, chats) -> str:
    file = await http.post("/v1/files", files={"file": chats(12)}, data={"purpose": "fine-tune"})
    body = {"model": BASE_MODEL, "training_file": file.json()["id"]}
    return (await http.post(JOBS, json=body)).json()["id"]


async def listen(http, job_id: str, seen: asyncio.Event) -> list[str]:
    """Return the data of all events until the stream ends."""
    data: list[str] = []
    params = {"stream": "true"}
    async with http.stream("GET", f"{JOBS}/{job_id}/events", params=params, timeout=60) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                data.append(line.removeprefix("data: "))
                seen.set()
    return data


def tell_of(project_id: str) -> Also:
    return lambda pipe: publish(pipe, InvalidationKind.PROJECT, project_id, project_id)


@pytest.mark.parametrize("what", ["key", "project"])
async def test_a_stream_ends_with_an_error_once_its_key_or_project_is_gone(
    api: Api, http, job_id, what
):
    seen, others_seen = asyncio.Event(), asyncio.Event()
    async with await api.client() as other:
        listening = asyncio.create_task(listen(http, job_id, seen))
        others = asyncio.create_task(listen(other, job_id, others_seen))
        await asyncio.wait_for(seen.wait(), 60)
        await asyncio.wait_for(others_seen.wait(), 60)
        projects = api.app.state.projects
        project = await projects.by_name("acme")
        if what == "project":
            await projects.projects.delete(INSTALLATION, project.id, also=tell_of(project.id))
        else:
            secret = http.headers["authorization"].removeprefix("Bearer ")
            key, _ = await projects.find_key(digest_of(secret))
            await projects.revoke_key(project.id, key.id)
        last = json.loads((await asyncio.wait_for(listening, 60))[-1])
        assert last["error"]["code"] == "invalid_api_key"
        if what == "project":
            assert "error" in json.loads((await asyncio.wait_for(others, 60))[-1])
        else:
            assert not others.done()
            await other.post(f"{JOBS}/{job_id}/cancel")
            assert (await asyncio.wait_for(others, 60))[-1] == "[DONE]"


@pytest.fixture
async def writer(redis_url: str) -> AsyncIterator[Client]:
    """The connection of another process."""
    client = connect(redis_url)
    yield client
    await client.aclose(close_connection_pool=True)


async def project_of(api: Api) -> str:
    project = await api.app.state.projects.by_name("acme")
    return project.id


async def write(api: Api, writer: Client, job_id: str, *messages: str) -> None:
    """Add events to a job, as a worker does."""
    events = [NewEvent(message=message) for message in messages]
    jobs, project_id = Jobs(writer), await project_of(api)
    await jobs.change(project_id, job_id, lambda job: job, events=lambda _: events)


class Follower:
    """A client that reads an event stream."""

    def __init__(self, http: httpx.AsyncClient, job_id: str) -> None:
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self.reading = asyncio.create_task(self._read(http, job_id))

    async def _read(self, http: httpx.AsyncClient, job_id: str) -> None:
        url, params = f"{JOBS}/{job_id}/events", {"stream": "true"}
        async with http.stream("GET", url, params=params, timeout=60) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: {"):
                    self.messages.put_nowait(json.loads(line.removeprefix("data: "))["message"])

    async def until(self, message: str) -> None:
        """Read up to a message, which must be pushed."""
        async with asyncio.timeout(PUSHED_S):
            while await self.messages.get() != message:
                pass


@pytest.fixture
async def follower(http: httpx.AsyncClient, job_id: str) -> AsyncIterator[Follower]:
    """A client that has read the first events of a job."""
    follower = Follower(http, job_id)
    await follower.until(f"Created fine-tuning job: {job_id}")
    yield follower
    follower.reading.cancel()


async def test_events_that_another_process_writes_are_pushed(api, job_id, writer, follower):
    for number in range(3):
        await write(api, writer, job_id, f"Step {number}")
        await follower.until(f"Step {number}")


async def test_the_end_of_a_job_is_pushed_without_an_event(api, job_id, writer, follower):
    def end(job: JobRecord) -> JobRecord:
        return lifecycle.cancel(job, 1_767_225_600)

    await Jobs(writer).change(await project_of(api), job_id, end)
    await asyncio.wait_for(follower.reading, PUSHED_S)


async def test_an_event_that_is_written_without_a_subscription_arrives(
    api, job_id, writer, follower
):
    await writer.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await write(api, writer, job_id, "Missed")
    await follower.until("Missed")
    await write(api, writer, job_id, "Next")
    await follower.until("Next")


async def test_idle_streams_read_nothing(http, job_id, writer, follower):
    others = [Follower(http, job_id) for _ in range(20)]
    for other in others:
        await other.until(f"Created fine-tuning job: {job_id}")
    await asyncio.sleep(0.5)

    async def reads() -> int:
        return int((await writer.info("commandstats"))["cmdstat_xrange"]["calls"])

    before = await reads()
    await asyncio.sleep(2)
    assert await reads() == before
    for other in others:
        other.reading.cancel()


async def test_a_stream_that_starts_after_the_end_has_all_events(api, http, job_id, writer):
    messages = [f"Step {number}" for number in range(1200)]
    await write(api, writer, job_id, *messages)
    await http.post(f"{JOBS}/{job_id}/cancel")
    follower = Follower(http, job_id)
    await asyncio.wait_for(follower.reading, 60)
    received = [follower.messages.get_nowait() for _ in range(follower.messages.qsize())]
    assert [m for m in received if m.startswith("Step")] == messages
    assert received[-1] == "The job was cancelled"


async def invalidate(redis: Client, kind: InvalidationKind, name: str) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        publish(pipe, kind, "proj_a", name)
        await pipe.execute()


@pytest.mark.parametrize(
    ("kind", "name", "woken"),
    [
        (InvalidationKind.JOB, "ftjob-1", [True, False, False]),
        (InvalidationKind.KEY, "any", [True, True, False]),
        (InvalidationKind.PROJECT, "any", [True, True, False]),
    ],
)
async def test_a_change_wakes_the_streams_of_its_job_or_project(writer, kind, name, woken):
    changes, invalidations = JobChanges(), Invalidations(writer)
    changes.listen(invalidations)
    with ExitStack() as stack:
        jobs = (("proj_a", "ftjob-1"), ("proj_a", "ftjob-2"), ("proj_b", "ftjob-1"))
        waiting = [stack.enter_context(changes.watch(*job)) for job in jobs]
        async with invalidations.listening():
            async with asyncio.timeout(60):
                for change in waiting:  # the new subscription wakes all
                    await change.wait()
                    change.clear()
            await invalidate(writer, kind, name)
            await asyncio.wait_for(waiting[0].wait(), 60)
            assert [change.is_set() for change in waiting] == woken


async def test_a_stream_that_has_ended_does_not_keep_others_from_waking(writer):
    changes, invalidations = JobChanges(), Invalidations(writer)
    changes.listen(invalidations)
    async with invalidations.listening():
        with changes.watch("proj_a", "ftjob-1"), changes.watch("proj_a", "ftjob-1"):
            pass
        await invalidate(writer, InvalidationKind.JOB, "ftjob-1")  # nobody waits for it
        with changes.watch("proj_a", "ftjob-1") as later:
            await invalidate(writer, InvalidationKind.JOB, "ftjob-1")
            await asyncio.wait_for(later.wait(), 60)
