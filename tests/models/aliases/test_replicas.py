"""Tests of two replicas that cache for half a minute: changes reach the other one at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from service.projects.records import Role
from tests.conftest import BASE_MODEL

pytestmark = pytest.mark.slow

NAME = "/v1/aliases/gpt-4o-mini"
AT_ONCE_S = 2.0  # actually milliseconds; the margin is for a busy machine
CHAT = {"messages": [{"role": "user", "content": "hi"}]}


async def at_once(check: Callable[[], Awaitable[bool]]) -> None:
    """Check that a condition becomes true long before the cache expires, and stays true."""
    deadline = time.monotonic() + AT_ONCE_S
    while not await check():
        assert time.monotonic() < deadline, "not at once"
        await asyncio.sleep(0.005)
    assert await check()


async def chat_code(client, model: str) -> str | None:
    """Return the error's code. Without an engine, a model that is found is a different error."""
    return (await client.post("/v1/chat/completions", json={"model": model, **CHAT})).json()[
        "error"
    ]["code"]


async def test_another_replica_rejects_a_deleted_model_immediately(replicas, new_model):
    one, two = replicas
    model = await new_model()
    async with await one.client() as here, await two.client() as there:
        owner = (await one.app.state.projects.by_name("acme")).id
        assert (await two.app.state.registry.resolve(owner, model)).model.name == model
        assert await chat_code(there, model) != "model_not_found"
        assert (await here.delete(f"/v1/models/{model}")).status_code == 200

        async def refused() -> bool:
            return await two.app.state.registry.resolve(owner, model) is None

        await at_once(refused)
        assert await chat_code(there, model) == "model_not_found"
        assert await one.app.state.registry.resolve(owner, model) is None


async def test_another_replica_rejects_a_revoked_key_immediately(replicas):
    one, two = replicas
    async with await one.client("root", Role.ADMIN) as admin, await two.client() as there:
        owner = (await one.app.state.projects.by_name("acme")).id
        path = f"/v1/organization/projects/{owner}/api_keys"
        assert (await there.get("/v1/files")).status_code == 200
        (key,) = (await admin.get(path)).json()["data"]
        assert (await admin.delete(f"{path}/{key['id']}")).status_code == 200

        async def refused() -> bool:
            return (await there.get("/v1/files")).status_code == 401

        await at_once(refused)
        assert (await admin.get(path)).status_code == 200


async def test_another_replica_follows_a_changed_alias_immediately(replicas, new_model):
    one, two = replicas
    first, second = await new_model(), await new_model()
    registry = two.app.state.registry
    async with await one.client() as here, await two.client() as there:
        owner = (await one.app.state.projects.by_name("acme")).id

        async def target() -> str | None:
            found = await registry.resolve(owner, "gpt-4o-mini")
            return None if found is None else found.model.name

        async def is_now(wanted: str | None) -> None:
            async def check() -> bool:
                return await target() == wanted

            await at_once(check)

        assert await target() is None  # and that is cached
        await here.put(NAME, json={"model": first})
        await is_now(first)
        await here.put(NAME, json={"model": second})
        await is_now(second)
        await here.post(NAME + "/rollback")
        await is_now(first)
        # The client that changes it sees the change, even without messages.
        await there.put(NAME, json={"model": BASE_MODEL})
        assert await target() == BASE_MODEL
        await here.delete(NAME)
        await is_now(None)


async def test_another_replica_finds_a_new_model_immediately(replicas, new_model):
    """A client that requests it too early must not get 404 for half a minute."""
    one, two = replicas
    name = f"ft:{BASE_MODEL}:acme:x:early1"
    await one.key()
    owner = (await one.app.state.projects.by_name("acme")).id
    assert await two.app.state.registry.resolve(owner, name) is None
    await new_model(name=name)

    async def found() -> bool:
        return await two.app.state.registry.resolve(owner, name) is not None

    await at_once(found)


async def test_a_cached_name_needs_no_round_trip(replicas, new_model):
    """A cached name is found even if nothing answers on the connection."""
    one, _ = replicas
    registry = one.app.state.registry
    model = await new_model()
    async with await one.client() as http:
        owner = (await one.app.state.projects.by_name("acme")).id
        split = [{"model": model, "weight": 50}, {"model": BASE_MODEL, "weight": 50}]
        await http.put(NAME, json={"targets": split})
    names = ("gpt-4o-mini", model, BASE_MODEL, "unknown")
    seen = [await registry.resolve(owner, name) for name in names]
    before = (await one.app.state.redis.info("stats"))["total_commands_processed"]
    for _ in range(100):
        again = [await registry.resolve(owner, name) for name in names]
        assert again[1:] == seen[1:]
    after = (await one.app.state.redis.info("stats"))["total_commands_processed"]
    assert after - before < 100  # what else runs: the other replica, pings
