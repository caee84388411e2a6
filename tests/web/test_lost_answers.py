"""Tests of requests during which Redis executes a command but its response is lost.

The response to each operation of a request is lost once. The request must succeed and write the
same as without a loss.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.app import create_app
from service.core.redis import Client, connect
from service.projects.records import Role
from service.web import idempotency
from service.web.audit_trail import STREAM
from tests.conftest import BASE_MODEL, Api, running, upload
from tests.lossy import Road, road_to

JOBS = "/v1/fine_tuning/jobs"
PROJECTS = "/v1/organization/projects"
ROW = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
UPLOAD = {"filename": "f", "purpose": "user_data", "bytes": 6, "mime_type": "text/plain"}
HOOK = {
    "name": "hook",
    "url": "https://hooks.test/",
    "event_types": ["fine_tuning.job.succeeded"],
}
EVAL = {
    "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
    "testing_criteria": [
        {
            "type": "string_check",
            "name": "same",
            "input": "{{item.a}}",
            "reference": "a",
            "operation": "eq",
        }
    ],
}
RUN = {
    "data_source": {
        "type": "jsonl",
        "source": {"type": "file_content", "content": [{"item": {"a": "a"}}]},
    }
}
_ID = re.compile(r"(_|-|:)[0-9a-z]{24,}")
_OF_NO_INTEREST = (
    "finetuned:api-processes",
    "finetuned:written:",
    "usage",
    "finetuned:workers",
    "idempotency",
    "storage-",  # counters, which the first object of a project creates
    "record-bytes",
)


@pytest.fixture
async def redis(redis_url) -> AsyncIterator[Client]:
    client = connect(redis_url)
    await client.flushdb()
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
async def road(redis_url, redis) -> AsyncIterator[Road]:
    async with road_to(redis_url) as road:
        yield road


@pytest.fixture
async def api(settings, road) -> AsyncIterator[Api]:
    """A running api whose connection to Redis loses responses."""
    changed = {"redis_url": SecretStr(road.url), "webhook_allowed_hosts": ("hooks.test",)}
    app = create_app(settings.model_copy(update=changed))
    async with running(app) as url:
        yield Api(app, url, settings)


Send = Callable[[], Awaitable[httpx.Response]]


class Requests:
    """Prepares requests. Each is new: it has other IDs and names than those before."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.number = 0

    async def _id(self, path: str, body: dict[str, Any]) -> str:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def _headers(self) -> dict[str, str]:
        self.number += 1
        return {"idempotency-key": f"key {self.number}"}

    def _create(self, path: str, body: dict[str, Any]) -> Send:
        headers = self._headers()
        return lambda: self.http.post(path, json=body, headers=headers)

    async def _file(self) -> str:
        return str((await upload(self.http, ROW)).json()["id"])

    async def _job(self) -> dict[str, Any]:
        return {"model": BASE_MODEL, "training_file": await self._file()}

    async def create_file(self) -> Send:
        return lambda: upload(self.http, ROW)

    async def delete_file(self) -> Send:
        file = await self._file()
        return lambda: self.http.delete(f"/v1/files/{file}")

    async def clean_file(self) -> Send:
        return self._create("/v1/dataset_cleanings", {"file_id": await self._file()})

    async def create_upload(self) -> Send:
        return self._create("/v1/uploads", UPLOAD)

    async def cancel_upload(self) -> Send:
        created = await self._id("/v1/uploads", UPLOAD)
        return lambda: self.http.post(f"/v1/uploads/{created}/cancel")

    async def create_job(self) -> Send:
        return self._create(JOBS, await self._job())

    async def cancel_job(self) -> Send:
        job = await self._id(JOBS, await self._job())
        return lambda: self.http.post(f"{JOBS}/{job}/cancel")

    async def create_eval(self) -> Send:
        return self._create("/v1/evals", EVAL)

    async def create_run(self) -> Send:
        return self._create(f"/v1/evals/{await self._id('/v1/evals', EVAL)}/runs", RUN)

    async def cancel_run(self) -> Send:
        runs = f"/v1/evals/{await self._id('/v1/evals', EVAL)}/runs"
        run = await self._id(runs, RUN)
        return lambda: self.http.post(f"{runs}/{run}/cancel")

    async def create_webhook(self) -> Send:
        for found in (await self.http.get("/v1/webhook_endpoints")).json()["data"]:
            await self.http.delete(f"/v1/webhook_endpoints/{found['id']}")
        return self._create("/v1/webhook_endpoints", HOOK)

    async def delete_webhook(self) -> Send:
        hook = await self._id("/v1/webhook_endpoints", HOOK)
        return lambda: self.http.delete(f"/v1/webhook_endpoints/{hook}")

    async def create_project(self) -> Send:
        self.number += 1
        return self._create(PROJECTS, {"name": f"p{self.number}"})

    async def revoke_key(self) -> Send:
        self.number += 1
        keys = f"{PROJECTS}/{await self._id(PROJECTS, {'name': f'p{self.number}'})}/api_keys"
        key = await self._id(keys, {"name": "key"})
        return lambda: self.http.delete(f"{keys}/{key}")

    async def set_alias(self) -> Send:
        self.number += 1
        path = f"/v1/aliases/alias-{self.number}"
        return lambda: self.http.put(path, json={"model": BASE_MODEL})

    async def delete_alias(self) -> Send:
        self.number += 1
        path = f"/v1/aliases/alias-{self.number}"
        await self.http.put(path, json={"model": BASE_MODEL})
        return lambda: self.http.delete(path)


@pytest.fixture
async def requests(api: Api) -> AsyncIterator[Requests]:
    async with await api.client(role=Role.ADMIN) as http:
        yield Requests(http)


SIZES = {
    b"string": "EXISTS",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"hash": "HLEN",
    b"list": "LLEN",
    b"stream": "XLEN",
}


async def sizes(redis: Client) -> Counter[str]:
    """Return the number of entries of all keys, whose IDs are replaced."""
    keys = [key async for key in redis.scan_iter(count=1000)]
    async with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.type(key)
        types = await pipe.execute(raise_on_error=False)
        for key, kind in zip(keys, types, strict=True):
            pipe.execute_command(SIZES.get(kind, "EXISTS"), key)
        found = await pipe.execute()
    total = Counter[str]()
    for key, size in zip(keys, found, strict=True):
        name = _ID.sub(r"\1…", key.decode())
        if not any(words in name for words in _OF_NO_INTEREST):
            total[re.sub(r"alias-\d+", "alias-…", name)] += size
    return total


async def written(redis: Client, send: Send) -> tuple[httpx.Response, dict[str, int]]:
    """Return the response to a request, and by how much the sizes changed."""
    before = await sizes(redis)
    answer = await send()
    after = await sizes(redis)
    return answer, {k: after[k] - before[k] for k in after | before if after[k] != before[k]}


ALL = sorted(name for name in vars(Requests) if not name.startswith("_"))


@pytest.mark.parametrize("name", ALL)
async def test_a_lost_response_changes_nothing(redis, road, requests, name):
    prepare: Callable[[], Awaitable[Send]] = getattr(requests, name)
    await redis.set("finetuned:rewrites-requested", 1)  # a counter, which the first one creates
    _, usual = await written(redis, await prepare())
    lost = True
    number = 3  # the first are those of the authentication
    while lost:
        send = await prepare()
        road.lose_nth(number)
        answer, changed = await written(redis, send)
        lost = road.mend()
        assert (number, answer.status_code, changed) == (number, 200, usual), answer.text
        number += 1
    assert number > 5


KEYED = ("create_job", "create_eval", "create_run", "clean_file")


@pytest.mark.parametrize("name", KEYED)
async def test_a_retry_after_an_outage_creates_nothing_twice(
    redis, road, requests, name, monkeypatch
):
    """Redis is unavailable from the lost response until the request has failed."""
    monkeypatch.setattr(idempotency, "_WAIT_S", 0.5)
    prepare: Callable[[], Awaitable[Send]] = getattr(requests, name)
    _, usual = await written(redis, await prepare())
    send = await prepare()
    before = await sizes(redis)
    road.lose(b"EXEC", b"idempotency", cut=True)
    assert (await send()).status_code == 503
    assert road.mend()
    first, second = await send(), await send()
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    after = await sizes(redis)
    changed = {k: after[k] - before[k] for k in usual}
    not_enqueued = {k: n for k, n in usual.items() if k.startswith(("arq:", "finetuned:queue"))}
    assert usual.pop(STREAM) == 1
    assert changed.pop(STREAM) == 3  # in the transaction, and of the two repetitions
    assert {**changed, **not_enqueued} == usual
