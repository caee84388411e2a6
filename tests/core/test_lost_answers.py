"""Tests of writes that Redis executes but whose response is lost with the connection."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ConnectionError

from service.core import queue
from service.core.claims import Claim
from service.core.records import Collection, Record
from service.core.redis import Client, connect
from service.core.redis.transactions import write_once
from service.jobs import lifecycle
from service.jobs.records import Jobs, NewEvent, Status
from service.projects.records import NameTaken, Projects
from service.web import idempotency
from tests.jobs.test_fair_share import job
from tests.lossy import Road, road_to


class Thing(Record):
    n: int = 0


class Ended(Exception):
    """Error raised if the value is already 1."""


@pytest.fixture
async def road(redis_url, redis) -> AsyncIterator[Road]:
    async with road_to(redis_url) as road:
        yield road


@pytest.fixture
async def through(road) -> AsyncIterator[Client]:
    """A client whose connection loses responses."""
    client = connect(road.url, patience_s=60)
    yield client
    await client.aclose(close_connection_pool=True)


def thing(record_id: str = "t") -> Thing:
    return Thing(id=record_id, project_id="p", created_at=1)


def end(found: Thing) -> Thing:
    if found.n:
        raise Ended
    return found.model_copy(update={"n": 1})


async def test_an_update_without_an_answer_is_applied_once(redis, road, through):
    things = Collection(through, "things", Thing)
    await things.create(thing())
    road.lose(b"EXEC")
    after = await things.update("p", "t", end, also=lambda pipe, _: pipe.incr("count"))
    assert (road.lost, after.n) == (1, 1)
    assert await redis.get("count") == b"1"
    with pytest.raises(Ended):
        await things.update("p", "t", end)


async def test_an_update_without_a_change_happens_once(redis, road, through):
    things = Collection(through, "things", Thing)
    await things.create(thing())
    road.lose(b"EXEC")
    await things.update("p", "t", lambda t: t, also=lambda pipe, _: pipe.incr("count"))
    assert await redis.get("count") == b"1"


async def test_a_later_write_by_others_does_not_repeat_the_update(redis, road, through):
    """The second read finds a record that is neither the old one nor our own."""
    things, others = Collection(through, "things", Thing), Collection(redis, "things", Thing)
    await things.create(thing())
    seen: list[int] = []

    def add(found: Thing) -> Thing:
        seen.append(found.n)
        return found.model_copy(update={"n": found.n + 1})

    watched = through.pipeline

    def pipeline(**options):
        pipe = watched(**options)
        watch = pipe.watch

        async def watch_late(*keys):
            if seen:
                await others.update("p", "t", add)
            return await watch(*keys)

        pipe.watch = watch_late
        return pipe

    through.pipeline = pipeline
    road.lose(b"EXEC")
    assert (await things.update("p", "t", add)).n == 1
    stored = await others.get("p", "t")
    assert stored is not None
    assert stored.n == 2
    assert seen == [0, 1]


async def test_a_record_is_created_once(redis, road, through):
    things = Collection(through, "things", Thing)
    road.lose(b"EXEC")
    await things.create(thing(), also=lambda pipe: pipe.incr("count"))
    assert road.lost == 1
    assert await redis.get("count") == b"1"
    with pytest.raises(ValueError, match="exists already"):
        await things.create(thing())


@pytest.mark.parametrize("command", [b"WATCH", b"GET"])
async def test_a_read_without_an_answer_is_repeated(road, through, command):
    things = Collection(through, "things", Thing)
    await things.create(thing())
    road.lose(command, b"things")
    assert (await things.update("p", "t", end)).n == 1
    assert road.lost == 1


async def test_a_lasting_outage_is_an_error(road, redis_url):
    client = connect(road.url, retries=0)
    things = Collection(client, "things", Thing)
    await things.create(thing())
    road.lose(b"EXEC", cut=True)
    with pytest.raises(ConnectionError):
        await things.update("p", "t", end)
    road.is_cut = False
    stored = await things.get("p", "t")
    assert stored is not None
    assert stored.n == 1
    await client.aclose(close_connection_pool=True)


async def test_a_job_succeeds_once_with_one_event(road, through):
    """Earlier, the second read mistook the success for another attempt's."""
    jobs = Jobs(through)
    await jobs.create(job("a", status=Status.RUNNING))
    road.lose(b"EXEC")
    after = await jobs.change(
        "proj_a",
        "ftjob-a",
        lambda j: lifecycle.succeed(j, j, model="m", result_files=(), trained_tokens=1, now_s=1),
        events=lambda _: [NewEvent(message="The job has successfully completed")],
    )
    assert (road.lost, after.status) == (1, Status.SUCCEEDED)
    events, _ = await jobs.events_before("proj_a", "ftjob-a", None, 10)
    assert len(events) == 1


async def test_a_deletion_happens_once(road, through):
    things = Collection(through, "things", Thing)
    await things.create(thing())
    road.lose(b"EXEC")
    assert await things.delete("p", "t", also=lambda pipe: pipe.incr("count"))
    assert await through.get("count") == b"1"
    assert not await things.delete("p", "t")


async def test_a_transaction_without_conditions_is_made_once(road, through):
    road.lose(b"EXEC")
    await write_once(through, lambda pipe: pipe.rpush("list", "entry"))
    assert (road.lost, await through.llen("list")) == (1, 1)


async def test_a_task_is_enqueued_once(road, through):
    road.lose(b"EVAL")
    await queue.enqueue(through, queue.CPU, "check_file", "p", "file-1", 1)
    assert road.lost == 1
    assert await through.zcard(queue.CPU) == 1


async def test_a_project_gets_the_name_that_it_claimed(road, through):
    road.lose(b"EXEC")
    project = await Projects(through).create("acme")
    assert road.lost == 1
    assert await Projects(through).by_name("acme") == project


async def test_a_name_without_a_project_can_be_used(redis):
    """Earlier versions wrote the name first."""
    await redis.hset("finetuned:project-names", "acme", "proj_1")
    projects = Projects(redis)
    with pytest.raises(NameTaken):
        await projects.restore("proj_2", "acme")
    assert (await projects.create("acme")).id == "proj_1"
    with pytest.raises(NameTaken):
        await projects.create("acme")


async def test_a_request_keeps_its_claim_after_a_lost_answer(road, through):
    things = Collection(through, "things", Thing)

    async def make(claim: Claim[Thing]) -> Thing:
        new = thing()
        return await things.create(new, lambda pipe: claim.settle(pipe, new), claim.check)

    road.lose(b"SET", b"idempotency")
    answer = await idempotency.run_once(through, "p", "key", b"body", make, Thing.model_dump)
    assert answer == thing().model_dump()
    assert road.lost == 1
