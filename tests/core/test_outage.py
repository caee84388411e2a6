"""Tests with a Redis that is killed, hangs or restarts.

Known keys and models keep working, other requests get 503 within seconds, changes arrive
afterwards, and a worker can still exit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web
from pydantic import SecretStr
from redis.exceptions import ConnectionError, WatchError

from service.app import create_app
from service.core.records import Collection, Record
from service.core.redis import Client, connect, reply
from service.core.redis.connection import NoAnswer
from service.fleet import workers
from service.jobs.event_stream import server_sent_events
from service.models.aliases.records import Target
from service.projects.records import Role
from service.worker.main import WorkerProcess
from tests.conftest import BASE_MODEL, Api, chat_line, checked, running, upload

pytestmark = pytest.mark.slow

TTL_S = 0.3


@pytest.fixture
async def api(settings, valkey) -> AsyncIterator[Api]:
    """An api with its own Redis. To retrieve a base model, it looks up only the key."""
    settings = settings.model_copy(
        update={"redis_url": SecretStr(valkey.url), "lookup_cache_s": TTL_S}
    )
    app = create_app(settings)
    async with running(app) as url:
        yield Api(app, url, settings)


def interrupt(valkey, how: str) -> None:
    {"kill": valkey.kill, "hang": valkey.hang}[how]()


def restore(valkey, how: str) -> None:
    {"kill": valkey.start, "hang": valkey.resume}[how]()


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_known_keys_keep_working(api, valkey, how):
    async with await api.client() as known, await api.client("new") as unknown:
        path = f"/v1/models/{BASE_MODEL}"
        assert (await known.get(path)).status_code == 200
        interrupt(valkey, how)
        async with asyncio.timeout(60):  # waiting for Redis would take 1 to 5 s each
            for _ in range(60):
                assert (await known.get(path)).status_code == 200
                await asyncio.sleep(0.02)
        assert (await unknown.get(path, timeout=60)).status_code == 503
        restore(valkey, how)
        await answers(unknown, path, 200)
        assert (await known.get(path)).status_code == 200


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_a_key_that_is_revoked_after_an_outage_is_refused(api, valkey, how):
    async with await api.client() as client, await api.client("root", Role.ADMIN) as admin:
        path = f"/v1/models/{BASE_MODEL}"
        assert (await client.get(path)).status_code == 200
        interrupt(valkey, how)
        await asyncio.sleep(2 * TTL_S)
        assert (await client.get(path)).status_code == 200
        restore(valkey, how)
        await answers(admin, "/v1/files", 200)
        acme = await api.app.state.projects.by_name("acme")
        (key,) = (await admin.get(f"/v1/organization/projects/{acme.id}/api_keys")).json()["data"]
        revoked = await admin.delete(f"/v1/organization/projects/{acme.id}/api_keys/{key['id']}")
        assert revoked.status_code == 200
        assert (await client.get(path)).status_code == 401


async def test_known_names_keep_resolving(api, valkey):
    registry, aliases = api.app.state.registry, api.app.state.aliases
    target = (Target(model=BASE_MODEL),)
    await aliases.put("proj_a", "gpt-4o-mini", target, key_id="key_a")
    before = await registry.resolve("proj_a", "gpt-4o-mini")
    valkey.hang()
    await asyncio.sleep(TTL_S)
    async with asyncio.timeout(60):  # Redis never answers
        assert await registry.resolve("proj_a", "gpt-4o-mini") == before
        # Base models are in a file, so their names are found without Redis, cached or not.
        assert (await registry.resolve("proj_b", BASE_MODEL)).model.name == BASE_MODEL
    valkey.resume()


@pytest.fixture
async def engine_url() -> AsyncIterator[str]:
    """An engine that reports the requested model."""

    async def chat(request: web.Request) -> web.Response:
        return web.json_response({"model": (await request.json())["model"], "choices": []})

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_chats_through_an_alias_continue(settings, valkey, engine_url, how):
    """Covers the complete path: key, alias, limits, engine, accounting."""
    settings = settings.model_copy(
        update={
            "redis_url": SecretStr(valkey.url),
            "lookup_cache_s": TTL_S,
            "upstreams": {BASE_MODEL: engine_url},
        }
    )
    app = create_app(settings)
    async with running(app) as url, await Api(app, url, settings).client() as client:
        await client.put("/v1/aliases/gpt-4o-mini", json={"model": BASE_MODEL})
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        interrupt(valkey, how)
        served, until = 0, time.monotonic() + 3
        while time.monotonic() < until:
            answer = await client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
            served += 1
            await asyncio.sleep(0.02)
        assert served >= 12
        restore(valkey, how)
        await answers(client, "/v1/aliases/gpt-4o-mini", 200)
        assert (await client.delete("/v1/aliases/gpt-4o-mini")).status_code == 200
        gone = await client.post("/v1/chat/completions", json=body)
        assert gone.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_a_worker_stops_during_an_outage(settings, valkey, how):
    settings = settings.model_copy(
        update={"redis_url": SecretStr(valkey.url), "worker_port": 0, "reconcile_every_s": 0.01}
    )
    worker = WorkerProcess(settings, ["cpu"])
    running_worker = asyncio.create_task(worker.run())
    redis = connect(valkey.url)
    async with asyncio.timeout(60):
        while not await workers.alive(redis):
            await asyncio.sleep(0.02)
    await redis.aclose(close_connection_pool=True)
    interrupt(valkey, how)
    worker.stop()
    async with asyncio.timeout(60):  # its retries continue for minutes
        await running_worker
    restore(valkey, how)


async def answers(client: httpx.AsyncClient, path: str, status: int) -> None:
    """Wait until a request has this response."""
    async with asyncio.timeout(60):
        while (await client.get(path, timeout=60)).status_code != status:
            await asyncio.sleep(0.05)


async def test_an_event_stream_waits_for_redis(api, valkey, chats):
    async with await api.client() as http:
        file = await upload(http, chats(12))
        body = {"model": BASE_MODEL, "training_file": file.json()["id"]}
        job_id = (await http.post("/v1/fine_tuning/jobs", json=body)).json()["id"]
    state = api.app.state
    project = await state.projects.by_name("acme")

    async def check_caller() -> None:
        """The caller is known."""

    valkey.kill()
    stream = server_sent_events(
        state.jobs, state.job_changes, project.id, job_id, None, check_caller
    )
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(3)  # the client's retries end
    assert not first.done()
    valkey.start()
    assert b"Created fine-tuning job" in await asyncio.wait_for(first, 60)
    await stream.aclose()


FILE = "\n".join(chat_line(f"q{i}", f"a{i}") for i in range(12)).encode()
UNKNOWN = "0" * 24
JOB = {"model": BASE_MODEL, "training_file": f"file-{UNKNOWN}"}
ROUTES = [
    ("GET", "/v1/files", None),
    ("GET", f"/v1/files/file-{UNKNOWN}", None),
    ("GET", f"/v1/dataset_reports/filereport-{UNKNOWN}", None),
    ("POST", "/v1/dataset_cleanings", {"file_id": f"file-{UNKNOWN}"}),
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


async def test_routes_answer_503_during_a_hang_and_recover(api, valkey):
    async with await api.client(role=Role.ADMIN) as client:
        assert (await client.get("/v1/files")).status_code == 200
        valkey.hang()
        answers = await asyncio.gather(
            *(client.request(m, path, json=body, timeout=50) for m, path, body in ROUTES),
            upload(client, b"x", "user_data"),
        )
        valkey.resume()
        for answer in answers:
            assert answer.status_code == 503, (answer.request.url, answer.text)
            assert answer.json()["error"]["code"] == "service_unavailable"
            assert "retry-after" in answer.headers
        await answers_200(client, "/v1/files")
        assert (await upload(client, b"x", "user_data")).status_code == 200


async def test_more_requests_than_connections_are_503_too(api, valkey):
    async with await api.client() as client:
        assert (await client.get("/v1/files")).status_code == 200
        valkey.hang()
        answers = await asyncio.gather(*(client.get("/v1/files", timeout=50) for _ in range(100)))
        valkey.resume()
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
    valkey.resume()
    async with asyncio.timeout(60):
        while not await pinged(redis):
            await asyncio.sleep(0.02)
    assert not list(redis.connection_pool._in_use_connections)


async def pinged(redis: Client) -> bool:
    try:
        return bool(await redis.ping())
    except ConnectionError:
        return False


async def test_a_hang_during_a_transaction_is_an_error(redis, valkey):
    things = Collection(redis, "things", Thing)
    await things.create(Thing(id="t", project_id="p", created_at=1))

    def change(thing: Thing) -> Thing:
        valkey.hang()
        return thing

    with pytest.raises((ConnectionError, WatchError)):
        await things.update("p", "t", change)
    valkey.resume()
    assert not list(redis.connection_pool._in_use_connections)


async def test_a_subscription_has_its_own_timeout(redis):
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
        assert await pubsub.get_message(timeout=0.6) is None  # twice the limit for a response
        await redis.publish("news", "at last")
        assert (await pubsub.get_message(timeout=5))["data"] == b"at last"


async def test_a_task_can_be_canceled_while_redis_hangs(redis, valkey):
    await redis.ping()
    valkey.hang()
    task = asyncio.create_task(redis.get("x"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()
    valkey.resume()


async def test_a_worker_continues_after_a_hang(api, valkey, caplog, monkeypatch):
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
        valkey.resume()
        await answers_200(client, "/v1/files")
        second = (await upload(client, FILE + b"\n")).json()["id"]
        assert (await checked(client, second))["status"] == "processed"
    worker.stop()
    await working


async def test_an_answer_that_arrived_while_this_process_stalled_is_read(valkey):
    client = connect(valkey.url, retries=0, timeout_s=2)
    await client.ping()
    valkey.hang()
    asking = asyncio.create_task(reply(client.ping()))
    await asyncio.sleep(0.1)  # it is waiting for its response now
    valkey.resume()
    time.sleep(2.5)  # longer than an answer may take
    assert await asking
    await client.aclose(close_connection_pool=True)


async def test_commands_wait_for_a_server_that_restarts(valkey):
    """During the restart, the port refuses connections."""
    client = connect(valkey.url, retries=60, patience_s=60)
    await client.set("a", "1")
    valkey.kill()
    commands = [
        asyncio.create_task(reply(client.get("a"))),
        asyncio.create_task(get_in_transaction(client)),
    ]
    await asyncio.sleep(1)
    valkey.start()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*commands) == [b"1", b"1"]
    await client.aclose(close_connection_pool=True)


async def get_in_transaction(client) -> bytes | None:
    """Transactions take a different path through redis-py than commands do."""
    async with client.pipeline() as pipe:
        await pipe.watch("a")
        return await pipe.get("a")
