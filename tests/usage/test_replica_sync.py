"""Tests of replicas that share only a Valkey: shared limits, outages and lost responses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

import pytest
from redis.exceptions import RedisError

from service.core.errors import RateLimited
from service.core.redis import connect
from service.usage import keys
from service.usage.meter import Meter
from service.usage.sums import Counts, PendingRows
from tests.usage.conftest import NOON, caller, served


async def sums(redis, project="proj_acme", width="1m", start_s=int(NOON)) -> dict[str, list[int]]:
    """Return the stored sums of one span: requests, failed, in, cached, out by key and model."""
    kept = await redis.hgetall(keys.usage(project, width, start_s))
    return {f.decode(): [int(n) for n in line.split()][:5] for f, line in kept.items()}


def admitted(replica, who, tries=1000) -> int:
    """Return how many requests are admitted before the first refusal."""
    for count in range(tries):
        try:
            replica.serve(who)
        except RateLimited:
            return count
    return tries


async def test_usage_of_all_replicas_is_summed(replica, redis):
    one, two = replica(), replica()
    one.serve(caller(), tokens=(10, 5), cached=4)
    one.serve(caller(), tokens=(1, 1), model="tiny")
    two.serve(caller(), tokens=(100, 50))
    two.serve(caller(), tokens=(0, 0), status=503)
    two.serve(caller("key_b", "proj_other"), tokens=(7, 7))
    two.serve(caller(), tokens=(0, 0), status=404, base_model="", model="unknown")
    for _ in range(2):  # flushing again adds nothing
        await one.flush()
        await two.flush()
    expected = {"key_a ft:m": [2, 1, 110, 4, 55], "key_a tiny": [1, 0, 1, 0, 1]}
    assert await sums(redis) == expected
    hour = int(NOON) - int(NOON) % 3600
    assert await sums(redis, width="1h", start_s=hour) == expected
    assert await sums(redis, "proj_other") == {"key_b ft:m": [1, 0, 7, 0, 7]}


async def test_answers_count_in_the_minute_in_which_they_ended(replica, redis, clock):
    one = replica()
    clock.turn(59.5)
    one.serve(caller())
    slow = one.admit(caller())
    clock.turn(1)
    one.meter.done(slow, served())
    one.serve(caller())
    await one.flush()
    assert (await sums(redis))["key_a ft:m"][0] == 1
    assert (await sums(redis, start_s=int(NOON) + 60))["key_a ft:m"][0] == 2


async def test_replicas_share_a_limit(replica, clock):
    one, two = replica(), replica()
    who = caller(requests_per_minute=10)
    assert [one.serve(who) for _ in range(6)]
    await one.flush()
    two.serve(who)
    await two.flush()
    assert admitted(two, who) == 3
    await two.flush()
    await one.flush()
    assert admitted(one, who) == 0
    clock.turn(12)  # two of ten drained, for both together
    assert admitted(two, who) == 2
    await two.flush()
    await one.flush()
    assert admitted(one, who) == 0


async def test_replicas_exceed_a_limit_only_between_two_flushes(replica, clock):
    """Three replicas that have not synchronized yet admit three times the limit."""
    replicas = [replica() for _ in range(3)]
    who = caller(requests_per_minute=10)
    assert [admitted(r, who) for r in replicas] == [10, 10, 10]
    for _ in range(2):
        for r in replicas:
            await r.flush()
    # At most twice the allowance is remembered: wait one minute, then use the rate.
    for seconds, count in ((60, 0), (6, 1)):
        clock.turn(seconds)
        for r in replicas:
            await r.flush()
        assert admitted(replicas[0], who) == count


async def test_token_corrections_reach_other_replicas(replica):
    one, two = replica(), replica()
    who = caller(tokens_per_minute=1000)
    two.serve(who, tokens=(1, 0))
    running = one.admit(who, max_tokens=900)
    await one.flush()
    await two.flush()
    with pytest.raises(RateLimited, match="used 911"):
        two.admit(who, max_tokens=100)
    one.meter.done(running, served(tokens=(10, 90)))
    await one.flush()
    await two.flush()
    two.admit(who, max_tokens=800)


async def test_replicas_share_limits_on_concurrency(replica):
    one, two = replica(), replica()
    who = caller(concurrent_requests=3, concurrent_streams=1)
    streams = one.admit(who, streamed=True), one.admit(who)
    await one.flush()
    two.serve(who)
    await two.flush()
    with pytest.raises(RateLimited, match="concurrent streams"):
        two.admit(who, streamed=True)
    two.admit(who)
    with pytest.raises(RateLimited, match="concurrent requests"):
        two.admit(who)
    for admission in streams:
        one.meter.done(admission, served())
    await one.flush()
    await two.flush()
    two.admit(who, streamed=True)


async def test_requests_of_a_dead_replica_expire(replica):
    dead, alive = replica(in_flight_ttl_s=0.3), replica()
    who = caller(concurrent_requests=1)
    dead.admit(who)
    await dead.flush()
    alive.serve(caller(concurrent_requests="unlimited", requests_per_minute=1000))
    await alive.flush()
    with pytest.raises(RateLimited):
        alive.admit(who)
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0.05)
            await alive.flush()
            try:
                alive.admit(who)
                break
            except RateLimited:
                continue


async def test_a_long_stream_keeps_counting_on_other_replicas(replica, clock):
    one, two = replica(), replica()
    who = caller(concurrent_streams=1)
    one.admit(who, streamed=True)
    await one.flush()
    clock.turn(3600)
    await one.flush()
    two.serve(who)
    await two.flush()
    with pytest.raises(RateLimited):
        two.admit(who, streamed=True)


async def test_the_end_of_a_long_stream_reaches_other_replicas(replica, clock):
    one, two = replica(), replica()
    who = caller(concurrent_streams=1)
    stream = one.admit(who, streamed=True)
    await one.flush()
    clock.turn(3600)
    one.meter.done(stream, served(streamed=True))
    await one.flush()
    two.serve(who)
    await two.flush()
    two.admit(who, streamed=True)


async def test_a_refused_key_is_admitted_once_there_is_room(replica, clock):
    one, two = replica(), replica()
    who = caller(concurrent_requests=2)
    running = [one.admit(who), one.admit(who)]
    await one.flush()
    await two.flush()
    two.serve(who)
    await two.flush()
    for _ in range(10):
        with pytest.raises(RateLimited):
            two.admit(who)
        clock.turn(30)
        await two.flush()
    for admission in running:
        one.meter.done(admission, served())
    await one.flush()
    await two.flush()
    two.admit(who)


async def test_a_batch_whose_response_was_lost_counts_once(replica, redis, road, cut_redis):
    """The script ran, but its response was lost: the batch is sent again and ignored."""
    one = replica(cut_redis)
    who = caller(requests_per_minute=100)
    one.serve(who)
    await one.flush()
    road.lose(b"EVALSHA")
    one.serve(who)
    with pytest.raises(RedisError):
        await one.flush()
    assert road.lost == 1
    one.serve(who)  # before the next flush
    await one.flush()
    assert (await sums(redis))["key_a ft:m"] == [3, 0, 30, 0, 15]
    assert float(await redis.hget(keys.limits("proj_acme"), "requests_used")) == 3
    assert one.meter._subjects["proj_acme"].requests.used == 3


@pytest.mark.parametrize("seed", range(5))
async def test_every_request_counts_once_whatever_is_lost(replica, redis, road, cut_redis, seed):
    chance = random.Random(seed)
    replicas = [replica(cut_redis), replica(cut_redis), replica()]
    who = caller(requests_per_minute=10**6, tokens_per_minute=10**9)
    count = 0
    for _ in range(150):
        one = chance.choice(replicas)
        step = chance.randrange(6)
        if step < 3:
            one.serve(who, max_tokens=chance.randrange(100), tokens=(3, 4))
            count += 1
        elif step == 3:
            road.lose_nothing()
            for _ in range(chance.randrange(3)):
                road.lose(b"EVALSHA")
        elif step == 4:
            road.is_cut = chance.random() < 0.5
        else:
            with contextlib.suppress(RedisError, OSError):
                await one.flush()
    road.is_cut = False
    road.lose_nothing()
    for _ in range(2):
        for one in replicas:
            await one.flush()
    assert (await sums(redis))["key_a ft:m"] == [count, 0, 3 * count, 0, 4 * count]
    for one in replicas:
        project = one.meter._subjects["proj_acme"]
        assert (project.requests.used, project.tokens.used) == (count, 7 * count)


async def test_retries_of_the_redis_client_count_once(replica, redis, road):
    """redis-py repeats a command when its connection breaks."""
    client = connect(road.url, retries=3, patience_s=60)
    one = replica(client)
    one.serve(caller())
    await one.flush()
    for _ in range(2):
        road.lose(b"EVALSHA")
    one.serve(caller())
    await one.flush()
    assert road.lost == 2
    assert (await sums(redis))["key_a ft:m"][0] == 2
    await client.aclose(close_connection_pool=True)


async def test_usage_is_counted_while_redis_is_away(replica, redis, road, cut_redis, clock):
    one, two = replica(cut_redis), replica()
    who = caller(requests_per_minute=10, concurrent_requests=2)
    running = two.admit(who)
    await two.flush()
    one.serve(who)
    await one.flush()
    road.is_cut = True
    for _ in range(2):
        with pytest.raises((RedisError, OSError)):
            await one.flush()
        one.serve(who)
        clock.turn(60)
        one.serve(who)
    with pytest.raises((RedisError, OSError)):
        await one.flush()
    # The other's request no longer counts; the limits apply only here.
    first, second = one.admit(who), one.admit(who)
    with pytest.raises(RateLimited, match="concurrent requests"):
        one.admit(who)
    one.meter.done(first, served())
    one.meter.done(second, served())
    assert admitted(one, who) == 7  # of ten, one by the loop, two just now

    road.is_cut = False
    await one.flush()
    minutes = [await sums(redis, start_s=int(NOON) + 60 * n) for n in range(3)]
    assert [m["key_a ft:m"][0] for m in minutes] == [2, 2, 10]
    with pytest.raises(RateLimited):
        one.serve(who)
    two.meter.done(running, served())


async def test_the_background_task_survives_an_outage_and_logs_once(redis, road, cut_redis, caplog):
    road.is_cut = True
    async with Meter(cut_redis, flush_every_s=0.02) as meter:
        meter.done(meter.admit(caller(), body_bytes=1, max_tokens=1, streamed=False), served())
        with caplog.at_level(logging.WARNING, "service.usage.meter"):
            await asyncio.sleep(0.3)
        assert len(caplog.records) == 1
        assert await redis.keys("*usage*") == []
        road.is_cut = False
        async with asyncio.timeout(60):
            while not await redis.keys("*:usage:1m:*"):
                await asyncio.sleep(0.02)


async def test_a_clean_stop_flushes_usage_and_requests_in_flight(redis):
    async with Meter(redis, flush_every_s=3600) as meter:
        who = caller(concurrent_requests=5)
        meter.admit(who, body_bytes=1, max_tokens=1, streamed=False)
        await meter.flush()
        assert len(await redis.keys("finetuned:in-flight:*")) == 1
        meter.done(meter.admit(who, body_bytes=1, max_tokens=1, streamed=False), served())
    (hour,) = await redis.keys("finetuned:proj_acme:usage:1h:*")
    assert await redis.hlen(hour) == 1
    assert await redis.keys("finetuned:in-flight*") == []
    assert await redis.keys("finetuned:usage-settled:*") == []


async def test_a_stop_without_redis_is_bounded_in_time(road, cut_redis, caplog):
    road.is_cut = True
    async with asyncio.timeout(60), Meter(cut_redis) as meter:
        meter.done(meter.admit(caller(), body_bytes=1, max_tokens=1, streamed=False), served())
    assert "is lost" in caplog.text


async def test_everything_expires(replica, redis):
    one = replica()
    one.admit(caller(requests_per_minute=5, tokens_per_minute=500, concurrent_requests=5))
    one.serve(caller(requests_per_minute=5))
    await one.flush()
    day = 24 * 3600
    kept = {k.decode(): await redis.ttl(k) for k in await redis.keys("*")}
    assert kept.pop("finetuned:audit-requests") == -1  # a worker moves it to the audit log
    assert len(kept) == 8
    for key, ttl_s in kept.items():
        if ":1h:" in key:
            assert 399 * day < ttl_s <= 400 * day, key
        elif key == keys.REPLICAS:
            assert 0 < ttl_s <= day
        else:
            assert 0 < ttl_s <= 2 * day, key


async def test_many_rows_go_in_several_batches(replica, redis):
    one = replica()
    for number in range(500):
        one.serve(caller(f"key_{number}"))
    await one.flush()
    assert len(await sums(redis)) == 500


async def test_many_limited_keys_are_read_in_several_batches(replica):
    one, two = replica(), replica()
    callers = [caller(f"key_{n}", key_limits={"requests_per_minute": 2}) for n in range(450)]
    for who in callers:
        one.serve(who)
        two.serve(who)
    for each in (one, two, one):
        await each.flush()
    for who in callers:
        for each in (one, two):
            with pytest.raises(RateLimited):
                each.admit(who)


async def test_groups_of_an_interval_are_bounded(replica, redis):
    one = replica()
    for _ in range(2):
        for number in range(keys.MAX_GROUPS + 7):
            one.serve(caller(), model=f"ft:{number}")
        await one.flush()
    kept = await sums(redis)
    assert len(kept) == keys.MAX_GROUPS + 1
    assert kept["other other"][0] == 14
    assert sum(line[0] for line in kept.values()) == 2 * (keys.MAX_GROUPS + 7)


def test_pending_rows_are_bounded_and_drop_minutes_first():
    waiting = PendingRows(max_rows=5)
    one = Counts(requests=1)
    for minute in range(10):
        waiting.add(7200 + minute * 60, "p", "k", "m", one)
    taken = waiting.take(100)
    hours = [row for row in taken if row.width == "1h"]
    assert [(row.group.start_s, row.counts.requests) for row in hours] == [(7200, 10)]
    minutes = [row.group.start_s for row in taken if row.width == "1m"]
    assert minutes == [7200 + m * 60 for m in (6, 7, 8, 9)]
    assert len(waiting) == 0


async def test_large_sums_stay_exact(replica, redis):
    one = replica()
    for _ in range(2):
        one.serve(caller(), tokens=(2**51 + 1, 2**51))
        await one.flush()
    assert (await sums(redis))["key_a ft:m"][2] == 2**52 + 2
