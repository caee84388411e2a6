"""Tests of requests to several engines on real sockets, including failing ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

import pytest
from prometheus_client import REGISTRY

from service.core.errors import ApiError, BadGateway, Unavailable
from service.inference.upstreams import Timeouts, Upstreams
from service.inference.upstreams.health import Policy

BASE = "tiny-base"
ADAPTERS = [f"ft:{BASE}:acme:shop{i}:a{i:05d}" for i in range(20)]
# Fast enough for tests; other tests check the values with a simulated clock.
QUICK = Policy(probe_every_s=0.05, probe_timeout_s=2, backoff_s=0.05, warmup_s=0)
# Probes once, and then not again within a test.
UNWATCHED = Policy(probe_every_s=600, backoff_s=600, max_backoff_s=600, warmup_s=0)
GARBAGE = b"\x00\x01 nonsense\r\n\r\n"
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
ERROR = b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}"


def upstreams(*servers, policy=QUICK, **options) -> Upstreams:
    urls = [s if isinstance(s, str) else s.url for s in servers]
    options = {"timeouts": Timeouts(connect_s=2, first_byte_s=5, between_chunks_s=5)} | options
    return Upstreams({BASE: urls}, policy=policy, **options)


def replicas(state: str) -> float:
    value = REGISTRY.get_sample_value(
        "finetuned_engine_replicas", {"base_model": BASE, "state": state}
    )
    assert value is not None
    return value


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"base_model": BASE, **labels}) or 0.0


async def test_each_adapter_stays_on_one_engine_for_every_api(serve_engine, ask, until):
    servers = [await serve_engine() for _ in range(3)]
    async with upstreams(*servers) as one, upstreams(*reversed(servers)) as other:
        for gateway in (one, other):
            await until(lambda: replicas("serving") == 3)
            for _ in range(3):
                for adapter in ADAPTERS:
                    assert await ask(gateway, adapter) == (200, b"ok")
    seen_by = defaultdict(set)
    for server in servers:
        assert server.seen, "an engine got no adapter"
        for adapter in server.seen:
            seen_by[adapter].add(server.url)
    assert {adapter: len(urls) for adapter, urls in seen_by.items()} == dict.fromkeys(ADAPTERS, 1)


async def test_an_overloaded_engine_lets_requests_go_to_the_next(serve_engine, ask, until):
    servers = [await serve_engine() for _ in range(2)]
    async with upstreams(*servers) as gateway:
        await until(lambda: replicas("serving") == 2)
        await ask(gateway, ADAPTERS[0])
        own, other = sorted(servers, key=lambda s: not s.seen)
        spilled = counted("finetuned_engine_spilled_requests_total")
        own.go.clear()
        waiting = [asyncio.create_task(ask(gateway, ADAPTERS[0])) for _ in range(8)]
        await until(lambda: len(own.seen) == 9)
        assert other.seen == []
        assert await ask(gateway, ADAPTERS[0]) == (200, b"ok")
        assert (len(own.seen), len(other.seen)) == (9, 1)
        assert counted("finetuned_engine_spilled_requests_total") == spilled + 1
        own.go.set()
        assert await asyncio.gather(*waiting) == [(200, b"ok")] * 8
        await ask(gateway, ADAPTERS[0])
        assert len(own.seen) == 10


async def test_the_base_model_is_spread(serve_engine, ask, until):
    servers = [await serve_engine() for _ in range(3)]
    async with upstreams(*servers) as gateway:
        await until(lambda: replicas("serving") == 3)
        for _ in range(9):
            await ask(gateway)
    assert [len(s.seen) for s in servers] == [3, 3, 3]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (GARBAGE, "garbage"),
        (CUT, "lost"),
        (CUT.replace(b"200 OK", b"500 Oh"), "lost"),
        (b"", "lost"),
    ],
)
async def test_an_ill_engine_is_left_out_and_comes_back_when_it_is_well(
    serve_engine, ask, until, answer, reason
):
    ill, well = await serve_engine(answer=answer, hangs_up=True), await serve_engine()
    ejections = counted("finetuned_engine_ejections_total", reason=reason)
    policy = Policy(probe_every_s=0.05, backoff_s=30, warmup_s=0)
    async with upstreams(ill, well, policy=policy) as gateway:
        await until(lambda: replicas("serving") == 2)
        failures = 0
        for _ in range(30):
            try:
                failures += (await ask(gateway))[0] == 500
            except ApiError:
                failures += 1
        assert failures == 3
        assert len(ill.seen) == 3
        assert (replicas("ejected"), replicas("serving")) == (1, 1)
        assert counted("finetuned_engine_ejections_total", reason=reason) == ejections + 1
    ill.answer, ill.hangs_up = well.answer, False
    async with upstreams(ill, well) as gateway:
        await until(lambda: replicas("serving") == 2)
        assert {await ask(gateway) for _ in range(4)} == {(200, b"ok")}
    assert len(ill.seen) == 5


async def test_an_ill_engine_that_is_mended_is_used_again(serve_engine, ask, until):
    ill, well = await serve_engine(answer=b"", hangs_up=True), await serve_engine()
    async with upstreams(ill, well) as gateway:
        await until(lambda: replicas("serving") == 2)
        while replicas("ejected") == 0:
            with contextlib.suppress(ApiError):
                await ask(gateway)
        seen = len(ill.seen)
        ill.answer, ill.hangs_up = well.answer, False
        await until(lambda: replicas("serving") == 2)
        assert {await ask(gateway) for _ in range(4)} == {(200, b"ok")}
        assert len(ill.seen) == seen + 2


@pytest.mark.parametrize("adapter", [ADAPTERS[0], None])
async def test_requests_that_are_answered_with_500_take_no_engine_from_others(
    serve_engine, ask, until, adapter
):
    """Example: a grammar on which vLLM fails, sent repeatedly by one client."""
    servers = [await serve_engine(answer=ERROR) for _ in range(2)]
    async with upstreams(*servers, policy=UNWATCHED) as gateway:
        await until(lambda: replicas("serving") == 2)
        for _ in range(20):
            assert (await ask(gateway, adapter))[0] == 500
        assert replicas("serving") == 2
        assert len(servers[0].seen) + len(servers[1].seen) == 20


async def test_an_engine_that_says_it_sleeps_is_left_out_before_its_next_probe(
    serve_engine, ask, until
):
    body = b'{"error": {"message": "m", "code": "engine_sleeping"}}'
    answer = b"HTTP/1.1 503 Oh\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    asleep, awake = await serve_engine(answer=answer), await serve_engine()
    async with upstreams(asleep, awake, policy=UNWATCHED) as gateway:
        await until(lambda: replicas("serving") == 2)
        statuses = [(await ask(gateway))[0] for _ in range(20)]
        assert (statuses.count(503), statuses.count(200)) == (3, 17)


async def test_adapters_that_storage_cannot_give_take_no_engine_from_others(
    serve_engine, ask, until
):
    body = b'{"error": {"message": "m", "code": "adapter_unavailable"}}'
    answer = b"HTTP/1.1 503 Oh\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    servers = [await serve_engine(answer=answer) for _ in range(2)]
    async with upstreams(*servers) as gateway:
        await until(lambda: replicas("serving") == 2)
        for adapter in ADAPTERS:
            assert await ask(gateway, adapter) == (503, body)
        assert replicas("serving") == 2
        assert len(servers[0].seen) + len(servers[1].seen) == len(ADAPTERS)


async def test_a_caller_who_leaves_says_nothing_about_the_engine(serve_engine, until):
    servers = [await serve_engine() for _ in range(2)]
    async with upstreams(*servers) as gateway:
        await until(lambda: replicas("serving") == 2)
        for _ in range(10):
            answer = await gateway.send(BASE, "/v1/chat/completions", b"{}", {})
            answer.close()
            answer.close()
        assert replicas("serving") == 2
        for server in servers:
            server.go.clear()
        for _ in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await gateway.send(BASE, "/v1/chat/completions", b"{}", {})
        assert replicas("serving") == 2


async def test_an_engine_that_dies_fails_no_request_that_was_not_sent(serve_engine, ask, until):
    dying, other = await serve_engine(), await serve_engine()
    policy = Policy(probe_every_s=0.2, backoff_s=0.05, warmup_s=0)
    async with upstreams(dying, other, policy=policy) as gateway:
        await until(lambda: replicas("serving") == 2)
        resent = counted("finetuned_engine_resent_requests_total")
        await dying.stop()
        # A few in parallel, before anyone has noticed.
        answers = await asyncio.gather(*(ask(gateway, adapter) for adapter in ADAPTERS))
        assert set(answers) == {(200, b"ok")}
        assert len(other.seen) == len(ADAPTERS)
        assert counted("finetuned_engine_resent_requests_total") > resent
        assert replicas("ejected") == 1
        await dying.start()
        await until(lambda: replicas("serving") == 2)
        seen = len(dying.seen)
        assert {await ask(gateway, adapter) for adapter in ADAPTERS} == {(200, b"ok")}
        assert len(dying.seen) > seen


async def test_requests_under_way_on_a_dying_engine_are_told_so(serve_engine, ask, until):
    dying, other = await serve_engine(), await serve_engine()
    async with upstreams(dying, other) as gateway:
        await until(lambda: replicas("serving") == 2)
        dying.go.clear()
        waiting = [asyncio.create_task(ask(gateway, adapter)) for adapter in ADAPTERS]
        await until(lambda: len(dying.seen) + len(other.seen) == len(ADAPTERS))
        await dying.stop()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        lost = [r for r in results if isinstance(r, Unavailable)]
        assert len(lost) == len(dying.seen)
        assert {e.code for e in lost} == {"engine_lost"}
        assert [r for r in results if not isinstance(r, Unavailable)] == [(200, b"ok")] * len(
            other.seen
        )


async def test_one_that_is_not_ready_yet_gets_nothing(serve_engine, ask, until):
    starting, ready = await serve_engine(healthy=False), await serve_engine()
    async with upstreams(starting, ready) as gateway:
        await until(lambda: replicas("serving") == 1 and starting.probes > 3)
        for adapter in [*ADAPTERS, None]:
            assert await ask(gateway, adapter) == (200, b"ok")
        assert starting.seen == []
        assert replicas("starting") == 1
        assert await gateway.ready() == {BASE: True}
        starting.healthy = True
        await until(lambda: replicas("serving") == 2)


async def test_where_all_are_in_doubt_they_are_tried(serve_engine, ask, until):
    first, second = await serve_engine(), await serve_engine()
    async with upstreams(first, second, policy=UNWATCHED) as gateway:
        await until(lambda: replicas("serving") == 2)
        await first.stop()
        await second.stop()
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await ask(gateway, ADAPTERS[0])
            assert caught.value.code == "engine_unavailable"
        assert replicas("ejected") == 2
        await second.start()
        assert await ask(gateway, ADAPTERS[0]) == (200, b"ok")
        assert (replicas("ejected"), replicas("serving")) == (1, 1)


async def test_a_sole_engine_that_fails_is_asked_again(serve_engine, ask, until):
    only = await serve_engine(answer=GARBAGE, hangs_up=True)
    async with upstreams(only, policy=UNWATCHED) as gateway:
        await until(lambda: replicas("serving") == 1)
        for _ in range(10):
            with pytest.raises(BadGateway):
                await ask(gateway)
        assert len(only.seen) == 10


async def test_engines_that_take_no_connection_in_time_cost_one_timeout(ask, black_hole):
    holes = [black_hole() for _ in range(80)]
    timeouts = Timeouts(connect_s=1, first_byte_s=5, between_chunks_s=5)
    async with upstreams(*holes, timeouts=timeouts) as gateway:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(60):  # trying all would take 80 s
                await ask(gateway, ADAPTERS[0])


async def test_no_connection_in_time_leaves_it_out_at_once(serve_engine, ask, until, black_hole):
    """An engine that accepted connections before and no longer does."""
    well = await serve_engine()
    hole = black_hole(until_now=await serve_engine())
    timeouts = Timeouts(connect_s=0.3, first_byte_s=5, between_chunks_s=5)
    async with upstreams(hole, well, timeouts=timeouts, policy=UNWATCHED) as gateway:
        await until(lambda: replicas("serving") == 2)
        await hole.swallow()
        for adapter in ADAPTERS:
            assert await ask(gateway, adapter) == (200, b"ok")
        assert replicas("ejected") == 1


async def test_a_stuck_probe_holds_up_nobody(serve_engine, ask, until):
    stuck, well = await serve_engine(), await serve_engine()
    stuck.health_goes.clear()
    policy = Policy(probe_every_s=0.02, probe_timeout_s=600, warmup_s=0)
    async with asyncio.timeout(60), upstreams(stuck, well, policy=policy) as gateway:
        await until(lambda: well.probes > 5)
        assert stuck.probes == 1
        assert await ask(gateway, ADAPTERS[0]) == (200, b"ok")


async def test_nothing_runs_after_the_end(serve_engine, until):
    server = await serve_engine()
    before = asyncio.all_tasks()
    async with upstreams(server, "dns+http://localhost:1") as gateway:
        await until(lambda: server.probes > 2)
        assert len(asyncio.all_tasks() - before) > 2
        await gateway.ready()
    left = {t.get_name() for t in asyncio.all_tasks() - before if t not in server.connections}
    assert left == set()
    probes = server.probes
    await asyncio.sleep(0.2)
    assert server.probes == probes


async def test_ready_asks_where_nothing_is_known(serve_engine, ask, until):
    server = await serve_engine()
    async with upstreams(server, policy=UNWATCHED) as gateway:
        assert await gateway.ready() == {BASE: True}
    await server.stop()
    async with upstreams(server, policy=UNWATCHED) as gateway:
        assert await gateway.ready() == {BASE: False}
    await server.start()
    async with upstreams(server, policy=UNWATCHED) as gateway:
        await until(lambda: replicas("serving") == 1)
        await server.stop()
        server.answer, server.hangs_up = b"", True
        await server.start()
        with pytest.raises(Unavailable):
            await ask(gateway)
        # It counts as serving, but its last response was lost, so it is probed again.
        await server.stop()
        assert await gateway.ready() == {BASE: False}
    async with Upstreams({BASE: [], "other": []}) as gateway:
        assert await gateway.ready() == {BASE: False, "other": False}
