"""Tests of requests that wait until their key or project may have another one in progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from service.core.errors import Busy, RateLimited
from service.usage.accounts import Admission
from service.usage.limit_queue import LimitQueues
from service.web.auth import Principal
from tests.usage.conftest import Replica, caller, served

Wait = asyncio.Task[Admission]


def wait(one: Replica, who: Principal, *, answers: int = 1, body: int = 40, **how: bool) -> Wait:
    """Admit a request as the gateway does: at once, or in its turn."""

    async def admitted() -> Admission:
        wanted: dict[str, Any] = {"body_bytes": body, "answers": answers, "max_tokens": 0}
        wanted |= {"streamed": False, **how}
        with contextlib.suppress(Busy):
            return one.meter.admit(who, **wanted)
        return await one.meter.admit_in_turn(who, **wanted)

    return asyncio.create_task(admitted())


async def settled(one: Replica, waiting: int) -> None:
    """Let all tasks run until this many requests wait."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert one.meter.waiting == waiting


async def test_requests_wait_in_the_order_of_arrival(replica):
    one = replica()
    who = caller(concurrent_requests=2)
    running = [one.admit(who), one.admit(who)]
    first = wait(one, who, answers=2)
    second = wait(one, who)
    await settled(one, 2)
    with pytest.raises(Busy):
        one.admit(who)  # not before those that wait
    one.meter.done(running[0], served())
    await settled(one, 2)  # the first needs both places
    one.meter.done(running[1], served())
    await settled(one, 1)
    assert first.done()
    one.meter.done(await first, served())
    one.meter.done(await second, served())
    one.serve(who)
    assert one.meter.waiting == 0


async def test_a_key_at_its_limit_does_not_delay_other_keys(replica):
    one = replica()
    busy = caller("key_busy", key_limits={"concurrent_requests": 1}, concurrent_requests=3)
    other = caller("key_other", concurrent_requests=3)
    running = one.admit(busy)
    first, second = wait(one, busy), wait(one, busy)
    await settled(one, 2)
    assert await wait(one, other)
    await settled(one, 2)
    one.meter.done(running, served())
    await settled(one, 1)
    assert first.done()
    assert not second.done()
    second.cancel()


async def test_streams_wait_too_and_projects_do_not_wait_for_each_other(replica):
    one = replica()
    who = caller(key_limits={"concurrent_streams": 1})
    running = one.admit(who, streamed=True)
    stream = wait(one, who, streamed=True)
    await settled(one, 1)
    one.serve(caller("key_b", "proj_other", concurrent_requests=1))
    one.meter.done(running, served())
    await stream


async def test_a_cancelled_request_leaves_the_queue(replica):
    one = replica()
    who = caller(concurrent_requests=1)
    running = one.admit(who)
    tasks = [wait(one, who) for _ in range(3)]
    await settled(one, 3)
    tasks[0].cancel()
    await settled(one, 2)
    one.meter.done(running, served())
    tasks[1].cancel()  # it has its place already
    await settled(one, 0)
    one.meter.done(await tasks[2], served())
    one.serve(who)


async def test_a_request_that_waited_too_long_gets_retry_after(replica):
    one = replica(wait_s=0.05)
    who = caller(concurrent_requests=1)
    one.admit(who)
    refused = await asyncio.gather(*(wait(one, who) for _ in range(20)), return_exceptions=True)
    headers = [error.headers for error in refused if isinstance(error, Busy)]
    assert len(headers) == 20
    assert {error.code for error in refused if isinstance(error, Busy)} == {"rate_limit_exceeded"}
    assert len({each["retry-after-ms"] for each in headers}) > 10
    assert all(1 <= int(each["retry-after"]) <= 60 for each in headers)
    assert one.meter.waiting == 0


async def test_new_limits_and_ended_requests_of_other_replicas_admit(replica):
    one, two = replica(), replica()
    who = caller(concurrent_requests=2)
    elsewhere = [two.admit(who), two.admit(who)]
    one.serve(caller(requests_per_minute=1000, concurrent_requests="unlimited"))
    await two.flush()
    await one.flush()
    first, second = wait(one, who), wait(one, who)
    await settled(one, 2)
    two.meter.done(elsewhere[0], served())
    await two.flush()
    await one.flush()
    await settled(one, 1)
    assert first.done()
    await wait(one, caller("key_new", concurrent_requests=9))  # the limit is raised
    await settled(one, 0)
    assert second.done()


async def test_another_limit_refuses_a_request_that_waited(replica):
    one = replica()
    who = caller(concurrent_requests=1, requests_per_minute=2)
    running = one.admit(who)
    first, second = wait(one, who), wait(one, who)
    await settled(one, 2)
    one.meter.done(running, served())
    one.meter.done(await first, served())
    with pytest.raises(RateLimited, match="requests per minute") as refused:
        await second
    assert not isinstance(refused.value, Busy)


@pytest.fixture
def lines(replica) -> Callable[..., Replica]:
    """A replica whose lines are shorter."""

    def make(**bounds: int) -> Replica:
        one = replica()
        meter = one.meter
        meter._queues = LimitQueues(meter._admit_next, meter._release, **bounds)
        return one

    return make


async def test_the_number_of_waiting_requests_is_bounded(lines):
    one = lines(most=6)
    who = caller(concurrent_requests=1)
    others = [caller(f"key_{n}", f"proj_{n}", concurrent_requests=1) for n in range(4)]
    for each in (who, *others):
        one.admit(each)
    tasks = [wait(one, who) for _ in range(3)]
    await settled(one, 3)
    with pytest.raises(Busy, match=r"limit 1\. 3 of your requests are already waiting\."):
        await wait(one, who)  # half of the room
    tasks += [wait(one, each) for each in others[:3]]
    await settled(one, 6)
    with pytest.raises(Busy):
        await wait(one, others[3])
    for task in tasks:
        task.cancel()
    await settled(one, 0)


async def test_the_bytes_of_waiting_requests_are_bounded(lines):
    one = lines(most_bytes=1000)
    who, other = caller(concurrent_requests=1), caller("k", "proj_other", concurrent_requests=1)
    for each in (who, other):
        one.admit(each)
    tasks = [wait(one, who, body=300), wait(one, other, body=450)]
    await settled(one, 2)
    for each, body in ((who, 201), (who, 251)):
        with pytest.raises(Busy):
            await wait(one, each, body=body)
    tasks.append(wait(one, who, body=200))
    await settled(one, 3)
    for task in tasks:
        task.cancel()
    await settled(one, 0)
