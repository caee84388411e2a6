"""Tests with a Redis that hangs: routes return 503 within seconds and recover with Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError, WatchError

from service.app import create_app
from service.core.records import Collection, Record
from service.core.redis import Client, connect, reply
from service.core.redis.connection import NoAnswer
from service.projects.records import Role
from service.worker.main import WorkerProcess
from tests.conftest import BASE_MODEL, Api, chat_line, checked, running, upload

FILE = "\n".join(chat_line(f"q{i}", f"a{i}") for i in range(12)).encode()
UNKNOWN = "0" * 24
JOB = {"model": BASE_MODEL, "training_file": f"file-{UNKNOWN}"}
ROUTES = [
    ("GET", "/v1/files", None),
    ("GET", f"/v1/files/file-{UNKNOWN}", None),
    ("GET", f"/v1/files/file-{UNKNOWN}/report", None),
    ("POST", f"/v1/files/file-{UNKNOWN}/clean", {}),
    ("DELETE", f"/v1/files/file-{UNKNOWN}", None),
    ("POST", "/v1/uploads", {"filename": "f", "purpose": "user_data", "bytes": 1, "mime_type": ""}),
    ("GET", "/v1/fine_tuning/jobs", None),
    ("POST", "/v1/fine_tuning/jobs", JOB),
    ("GET", f"/v1/fine_tuning/jobs/ftjob-{UNKNOWN}/events", None),
    ("POST", f"/v1/fine_tuning/jobs/ftjob-{UNKNOWN}/cancel", None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/aliases", None),
    ("PUT", "/v1/aliases/mine", {"model": BASE_MODEL}),
    ("GET", "/v1/organization/projects", None),
    ("POST", "/v1/organization/projects", {"name": "other"}),
    ("GET", "/v1/organization/usage/completions?start_time=1", None),
]


class Thing(Record):
    n: int = 0


@pytest.fixture
async def api(settings, valkey) -> AsyncIterator[Api]:
    """An api with its own Redis."""
    settings = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
    app = create_app(settings)
    async with running(app) as url:
        yield Api(app, url, settings)


@pytest.mark.slow
async def test_every_route_says_503_and_goes_on_after(api, valkey):
    async with await api.client(role=Role.ADMIN) as client:
        assert (await client.get("/v1/files")).status_code == 200
        valkey.hang()
        answers = await asyncio.gather(
            *(client.request(m, path, json=body, timeout=50) for m, path, body in ROUTES),
            upload(client, b"x", "user_data"),
        )
        valkey.go_on()
        for answer in answers:
            assert answer.status_code == 503, (answer.request.url, answer.text)
            assert answer.json()["error"]["code"] == "service_unavailable"
            assert "retry-after" in answer.headers
        await answers_200(client, "/v1/files")
        assert (await upload(client, b"x", "user_data")).status_code == 200


@pytest.mark.slow
async def test_more_requests_than_connections_are_503_too(api, valkey):
    async with await api.client() as client:
        assert (await client.get("/v1/files")).status_code == 200
        valkey.hang()
        answers = await asyncio.gather(*(client.get("/v1/files", timeout=50) for _ in range(100)))
        valkey.go_on()
        assert {a.status_code for a in answers} == {503}
        await answers_200(client, "/v1/files")


async def answers_200(client: httpx.AsyncClient, path: str) -> None:
    async with asyncio.timeout(60):
        while (await client.get(path, timeout=50)).status_code != 200:
            await asyncio.sleep(0.05)


@pytest.fixture
async def redis(valkey) -> AsyncIterator[Client]:
    client = connect(valkey.url, retries=1, timeout_s=0.3)
    yield client
    await client.aclose(close_connection_pool=True)


COMMANDS = {
    "plain": lambda r: r.get("x"),
    "script": lambda r: r.eval("return 1", 0),
    "transaction": lambda r: r.pipeline(transaction=True).set("x", 1).execute(),
    "subscription": lambda r: r.pubsub().subscribe("x"),
    "record": lambda r: Collection(r, "things", Thing).get("p", "t"),
    "update": lambda r: Collection(r, "things", Thing).update("p", "t", lambda t: t),
    "task": lambda r: r.enqueue_job("f"),
    "much": lambda r: r.set("x", b"x" * 50_000_000),  # more than the kernel holds
}


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "subscription"])
async def test_a_command_without_an_answer_is_an_error(redis, valkey, command, connected):
    if connected:
        await redis.ping()
    valkey.hang()
    with pytest.raises(NoAnswer, match="no answer from Redis"):
        await COMMANDS[command](redis)
    valkey.go_on()
    async with asyncio.timeout(60):
        while not await pinged(redis):
            await asyncio.sleep(0.02)
    assert not list(redis.connection_pool._in_use_connections)


async def pinged(redis: Client) -> bool:
    try:
        return bool(await redis.ping())
    except ConnectionError:
        return False


async def test_a_hang_in_the_midst_of_a_transaction_is_an_error(redis, valkey):
    things = Collection(redis, "things", Thing)
    await things.create(Thing(id="t", project_id="p", created_at=1))

    def change(thing: Thing) -> Thing:
        valkey.hang()
        return thing

    with pytest.raises((ConnectionError, WatchError)):
        await things.update("p", "t", change)
    valkey.go_on()
    assert not list(redis.connection_pool._in_use_connections)


async def test_a_subscription_waits_as_long_as_it_says(redis):
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
        assert await pubsub.get_message(timeout=0.6) is None  # twice the limit for a response
        await redis.publish("news", "at last")
        assert (await pubsub.get_message(timeout=5))["data"] == b"at last"


async def test_a_task_told_to_end_while_redis_hangs_ends(redis, valkey):
    await redis.ping()
    valkey.hang()
    task = asyncio.create_task(redis.get("x"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()
    valkey.go_on()


@pytest.mark.slow
async def test_a_worker_goes_on_after(api, valkey, caplog, monkeypatch):
    monkeypatch.setattr("service.worker.main._REDIS_TIMEOUT_S", 0.3)
    monkeypatch.setattr("service.worker.main._REDIS_PATIENCE_S", 0.3)
    worker = WorkerProcess(api.settings.model_copy(update={"worker_port": 0}), ["cpu"])
    working = asyncio.create_task(worker.run())
    async with await api.client() as client:
        first = (await upload(client, FILE)).json()["id"]
        assert (await checked(client, first))["status"] == "processed"
        valkey.hang()
        async with asyncio.timeout(60):
            while "Redis is unavailable: NoAnswer" not in caplog.text or (
                "nothing reconciled: NoAnswer" not in caplog.text
            ):
                await asyncio.sleep(0.05)
        valkey.go_on()
        await answers_200(client, "/v1/files")
        second = (await upload(client, FILE + b"\n")).json()["id"]
        assert (await checked(client, second))["status"] == "processed"
    worker.stop()
    await working


@pytest.mark.slow
async def test_an_answer_that_came_while_this_process_stood_still_is_read(valkey):
    client = connect(valkey.url, retries=0, timeout_s=2)
    await client.ping()
    valkey.hang()
    asking = asyncio.create_task(reply(client.ping()))
    await asyncio.sleep(0.1)  # it is waiting for its response now
    valkey.go_on()
    time.sleep(2.5)  # longer than an answer may take
    assert await asking
    await client.aclose(close_connection_pool=True)
