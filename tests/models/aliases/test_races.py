"""Tests of concurrent changes: none is lost, and no alias points to a deleted model."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import pytest

from service.core.redis import connect
from service.models.aliases.changes import (
    AliasChanged,
    Aliases,
    Precondition,
    TooManyAliases,
    UnknownTarget,
)
from service.models.aliases.records import Target
from service.models.registry import ModelInUse, ModelRegistry
from tests.conftest import BASE_MODEL

NAME = "/v1/aliases/gpt-4o-mini"


@pytest.fixture
async def clients(replicas) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client of project acme for each of two replicas."""
    one, two = replicas
    async with await one.client() as first, await two.client() as second:
        yield [first, second]


async def test_concurrent_changes_never_interleave(clients, new_model):
    """The history is a chain: each change starts from the result of the previous one."""
    models = [await new_model() for _ in range(4)]
    bodies = [{"model": m} for m in models] + [
        {"targets": [{"model": a, "weight": 60}, {"model": b, "weight": 40}]}
        for a, b in itertools.pairwise(models)
    ]
    answers = await asyncio.gather(
        *(clients[i % 2].put(NAME, json=random.choice(bodies)) for i in range(60))
    )
    assert {a.status_code for a in answers} == {200}
    changes = (await clients[0].get(NAME + "/history")).json()["data"][::-1]
    assert [c["generation"] for c in changes] == list(range(1, len(changes) + 1))
    assert changes[0]["previous_targets"] == []
    for before, after in itertools.pairwise(changes):
        assert after["previous_targets"] == before["targets"] != after["targets"]
    now = (await clients[1].get(NAME)).json()
    assert (now["targets"], now["etag"]) == (changes[-1]["targets"], changes[-1]["id"])
    # Each response was a state that existed.
    states = {c["generation"]: c["targets"] for c in changes}
    assert all(states[a.json()["generation"]] == a.json()["targets"] for a in answers)


async def test_one_of_many_conditional_changes_wins(clients, new_model):
    models = [await new_model() for _ in range(10)]
    seen = (await clients[0].put(NAME, json={"model": BASE_MODEL})).headers["etag"]
    answers = await asyncio.gather(
        *(
            clients[i % 2].put(NAME, json={"model": m}, headers={"if-match": seen})
            for i, m in enumerate(models)
        )
    )
    assert Counter(a.status_code for a in answers) == {200: 1, 412: 9}
    (won,) = [a.json() for a in answers if a.status_code == 200]
    assert (await clients[0].get(NAME)).json() == won


async def test_one_of_many_creations_wins(clients, new_model):
    models = [await new_model() for _ in range(6)]
    answers = await asyncio.gather(
        *(
            clients[i % 2].put(NAME, json={"model": m}, headers={"if-none-match": "*"})
            for i, m in enumerate(models)
        )
    )
    assert Counter(a.status_code for a in answers) == {200: 1, 412: 5}


async def test_concurrent_rollbacks_do_not_undo_each_other(clients, new_model):
    one, two = await new_model(), await new_model()
    await clients[0].put(NAME, json={"model": one})
    seen = (await clients[0].put(NAME, json={"model": two})).headers["etag"]
    answers = await asyncio.gather(
        *(clients[i % 2].post(NAME + "/rollback", headers={"if-match": seen}) for i in range(6))
    )
    assert Counter(a.status_code for a in answers) == {200: 1, 412: 5}
    assert (await clients[0].get(NAME)).json()["targets"][0]["model"] == one


async def test_no_alias_points_at_a_deleted_model(clients, new_model):
    """With a concurrent PUT and DELETE of its target, one of them is refused."""
    outcomes: Counter[tuple[int, int]] = Counter()
    for i in range(40):
        model = await new_model()
        path = f"/v1/aliases/a{i}"
        calls = [
            clients[0].put(path, json={"model": model}),
            clients[1].delete(f"/v1/models/{model}"),
        ]
        if i % 2:
            calls.reverse()
        results = await asyncio.gather(*calls)
        if i % 2:
            results.reverse()
        put, delete = results
        outcomes[put.status_code, delete.status_code] += 1
        if put.status_code == 200:
            assert (await clients[0].get(f"/v1/models/{model}")).status_code == 200
    assert set(outcomes) <= {(200, 409), (404, 200)}


class Wire:
    """A Redis connection on which a test acts just before and after the first transaction."""

    def __init__(self, url: str) -> None:
        self.there = urlsplit(url)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.lose_answer = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.there.hostname, self.there.port)
        try:
            while data := await reader.read(65536):
                is_transaction = b"EXEC" in data
                if is_transaction and self.meanwhile is not None:
                    act, self.meanwhile = self.meanwhile, None
                    await act()
                back.write(data)
                answer = await there.read(65536)
                if is_transaction and self.lose_answer:
                    self.lose_answer = False
                    return
                writer.write(answer)
                await writer.drain()
        finally:
            back.close()
            writer.close()


@pytest.fixture
async def wire(api) -> AsyncIterator[tuple[Wire, ModelRegistry]]:
    """Such a connection, and a registry that uses it."""
    wire = Wire(api.settings.redis_url.get_secret_value())
    async with await asyncio.start_server(wire.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        redis = connect(f"redis://127.0.0.1:{port}", max_connections=1)
        yield wire, ModelRegistry(redis, api.app.state.registry.catalogue, cache_s=0)
        await redis.aclose(close_connection_pool=True)
    assert wire.meanwhile is None
    assert not wire.lose_answer


@pytest.fixture
def wired(wire) -> Aliases:
    """The aliases on this connection."""
    registry = wire[1]
    return Aliases(registry.redis, registry, max_per_project=2)


@pytest.fixture
def losing(wire, wired) -> Aliases:
    """The aliases, on a connection that loses the response to the first transaction."""
    wire[0].lose_answer = True
    return wired


async def test_a_target_deleted_concurrently_is_refused(api, wire, wired, project_id, new_model):
    model = await new_model()
    wire[0].meanwhile = lambda: api.app.state.registry.delete(project_id, model)
    with pytest.raises(UnknownTarget):
        await wired.put(project_id, "a", (Target(model=model),), key_id="key_a")
    assert await wired.get(project_id, "a") is None


async def test_a_model_that_gets_an_alias_concurrently_is_not_deleted(
    api, wire, project_id, new_model
):
    model = await new_model()
    aliases: Aliases = api.app.state.aliases
    target = (Target(model=model),)
    wire[0].meanwhile = lambda: aliases.put(project_id, "a", target, key_id="key_a")
    with pytest.raises(ModelInUse):
        await wire[1].delete(project_id, model)
    assert await wire[1].get(project_id, model) is not None


async def test_a_model_deleted_twice_concurrently_is_gone(api, wire, project_id, new_model):
    model = await new_model()
    wire[0].meanwhile = lambda: api.app.state.registry.delete(project_id, model)
    assert (await wire[1].delete(project_id, model)).id == model


async def test_the_limit_holds_with_concurrent_creations(api, wire, wired, project_id):
    target = (Target(model=BASE_MODEL),)
    aliases: Aliases = api.app.state.aliases
    await wired.put(project_id, "a", target, key_id="key_a")
    wire[0].meanwhile = lambda: aliases.put(project_id, "b", target, key_id="key_a")
    with pytest.raises(TooManyAliases):
        await wired.put(project_id, "c", target, key_id="key_a")


@pytest.mark.parametrize("action", ["put", "rollback", "delete"])
async def test_a_concurrent_change_fails_conditional_changes(
    api, wire, wired, project_id, new_model, action
):
    aliases: Aliases = api.app.state.aliases
    one, two, three = [(Target(model=await new_model()),) for _ in range(3)]
    await aliases.put(project_id, "a", one, key_id="key_a")
    seen = await aliases.put(project_id, "a", two, key_id="key_a")
    wire[0].meanwhile = lambda: aliases.put(project_id, "a", three, key_id="key_b")
    expected = Precondition(etag=seen.etag)
    change = {
        "put": lambda: wired.put(project_id, "a", one, key_id="key_a", expected=expected),
        "rollback": lambda: wired.rollback(project_id, "a", key_id="key_a"),  # even without
        "delete": lambda: wired.delete(project_id, "a", key_id="key_a", expected=expected),
    }[action]
    with pytest.raises(AliasChanged):
        await change()
    stored = await aliases.get(project_id, "a")
    assert stored is not None
    assert stored.targets == three


async def test_a_forced_change_whose_response_was_lost_is_made_once(
    api, losing, project_id, new_model
):
    gate = {"memorized": "==0"}
    target = (Target(model=await new_model()),)
    after = await losing.put(project_id, "a", target, key_id="key_a", gate=gate, force=True)
    assert (after.generation, after.gate) == (1, gate)
    (change,) = await api.app.state.aliases.history(project_id, "a")
    assert [one.key for one in change.failed] == ["memorized"]


async def test_a_rollback_whose_response_was_lost_is_not_undone(api, losing, project_id, new_model):
    aliases: Aliases = api.app.state.aliases
    one, two = [(Target(model=await new_model()),) for _ in range(2)]
    await aliases.put(project_id, "a", one, key_id="key_a")
    await aliases.put(project_id, "a", two, key_id="key_a")
    back = await losing.rollback(project_id, "a", key_id="key_a")
    assert (back.generation, back.targets) == (3, one)
    assert await aliases.get(project_id, "a") == back


async def test_a_deleted_model_is_returned_although_the_response_was_lost(
    wire, project_id, new_model
):
    model = await new_model()
    wire[0].lose_answer = True
    record = await wire[1].delete(project_id, model)
    assert record is not None
    assert record.id == model
    assert await wire[1].get(project_id, model) is None
