"""Tests of a trained model with its own engine next to its base model's."""

from __future__ import annotations

import pytest

from service.core.errors import ApiError, Unavailable
from service.inference.upstreams import Timeouts, Upstreams
from service.inference.upstreams.health import Policy

BASE = "tiny-base"
MERGED, OTHER = f"ft:{BASE}:acme:voice:abc123", f"ft:{BASE}:acme:tone:abc456"
QUICK = Policy(probe_every_s=0.05, probe_timeout_s=2, backoff_s=0.05, warmup_s=0)
CHAT = {"messages": [{"role": "user", "content": "hi"}]}


def upstreams(own, base=None, **options) -> Upstreams:
    engines = {MERGED: [own.url]} | ({} if base is None else {BASE: [base.url]})
    timeouts = Timeouts(connect_s=2, first_byte_s=5, between_chunks_s=5)
    return Upstreams(engines, policy=QUICK, timeouts=timeouts, **options)


def usable(gateway: Upstreams, model: str) -> bool:
    return gateway._served[model].replicas.any_usable


@pytest.fixture
async def both(serve_engine, until):
    """The model's own engine, the base model's, and upstreams that know both are healthy."""
    own, base = await serve_engine(), await serve_engine()
    async with upstreams(own, base) as gateway:
        await until(lambda: usable(gateway, MERGED) and usable(gateway, BASE))
        yield own, base, gateway


async def test_its_requests_go_to_its_own_engine_which_loads_nothing(both, ask):
    own, base, gateway = both
    assert await ask(gateway, MERGED) == (200, b"ok")
    assert await ask(gateway, OTHER) == (200, b"ok")
    assert await ask(gateway) == (200, b"ok")
    assert (own.seen, own.adapters) == ([MERGED.lower()], [None])
    assert base.adapters == [OTHER.replace(":", "%3a"), None]


async def test_while_its_engine_starts_the_base_models_serves_it(serve_engine, ask, until):
    own, base = await serve_engine(healthy=False), await serve_engine()
    async with upstreams(own, base) as gateway:
        await until(lambda: usable(gateway, BASE) and own.probes)
        assert await ask(gateway, MERGED) == (200, b"ok")
        assert base.adapters == [MERGED.replace(":", "%3a")]
        own.healthy = True
        await until(lambda: usable(gateway, MERGED))
        assert await ask(gateway, MERGED) == (200, b"ok")
    assert (len(own.seen), len(base.seen)) == (1, 1)


async def test_no_request_fails_when_its_engine_dies_and_it_comes_back(both, ask, until):
    own, base, gateway = both
    await own.stop()
    for _ in range(5):
        assert await ask(gateway, MERGED) == (200, b"ok")
    assert base.adapters == [MERGED.replace(":", "%3a")] * 5
    await own.start()
    await until(lambda: usable(gateway, MERGED))
    assert await ask(gateway, MERGED) == (200, b"ok")
    assert len(own.seen) == 1


async def test_what_its_engine_may_have_got_is_not_sent_to_the_other(both, ask):
    own, base, gateway = both
    own.answer, own.hangs_up = b"", True
    with pytest.raises(ApiError) as failed:
        await ask(gateway, MERGED)
    assert failed.value.code == "engine_lost"
    assert base.seen == []


async def test_when_its_answers_keep_breaking_the_base_models_engine_takes_over(both, ask):
    own, base, gateway = both
    own.answer, own.hangs_up = b"", True
    for _ in range(3):
        with pytest.raises(ApiError):
            await ask(gateway, MERGED)
    assert await ask(gateway, MERGED) == (200, b"ok")
    assert base.adapters == [MERGED.replace(":", "%3a")]


async def test_alone_it_is_asked_even_where_it_is_in_doubt(serve_engine, ask):
    own = await serve_engine(healthy=False)
    async with upstreams(own) as gateway:
        assert await ask(gateway, MERGED) == (200, b"ok")
        with pytest.raises(Unavailable) as failed:
            await ask(gateway, OTHER)
        assert failed.value.code == "model_not_served"
        await own.stop()
        with pytest.raises(Unavailable) as failed:
            await ask(gateway, MERGED)
        assert failed.value.code == "engine_unavailable"


async def test_it_is_ready_without_its_engine_where_the_base_models_runs(serve_engine, until):
    own, base = await serve_engine(healthy=False), await serve_engine()
    async with upstreams(own, base) as gateway:
        assert await gateway.ready_bases() == {BASE: True}
        base.healthy = False
        await until(lambda: not usable(gateway, BASE))
        assert await gateway.ready_bases() == {BASE: False}
    async with upstreams(own) as gateway:
        assert await gateway.ready_bases() == {BASE: False}


@pytest.fixture
async def client(gateway, engine, add_adapter, until):
    """A client of a gateway where `engine` serves only the merged model."""
    await add_adapter(MERGED)
    client = await gateway([], merged={MERGED: [engine.url]})
    await until(lambda: usable(client.upstreams, MERGED))
    return client


async def test_its_project_alone_may_ask_and_only_until_it_is_deleted(client, engine, registry):
    body = {**CHAT, "model": MERGED}
    async with client.post(json=body) as response:
        assert response.status == 200
    async with client.post(json=body, key="sk-ft-other") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (
            404,
            "model_not_found",
        )
    await registry.delete("proj_acme", MERGED)
    async with client.post(json=body) as response:
        assert response.status == 404
    assert len(engine.seen) == 1
    assert "x-finetuned-adapter" not in {k.lower() for k in engine.seen[0].headers}


async def test_a_picked_replica_that_is_ejected_since_is_not_taken_for_the_base_models(both):
    own, base, gateway = both
    route = gateway.route(BASE, MERGED)
    assert route is not None
    picked = gateway.pick(route)
    assert picked is not None
    for _ in range(QUICK.max_failed_probes):
        route[0].replicas.record_probe(picked, False)
    answer = await gateway.send(
        BASE, "/v1/chat/completions", b"{}", {}, adapter=MERGED, first=picked
    )
    assert await answer.read_all(100) == b"ok"
    answer.close()
    assert own.seen == []
    assert base.adapters == [MERGED.replace(":", "%3a")]
