"""Tests of quotas of records and of a full Redis: what is refused, and what continues."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from service.app import create_app
from service.cli import doctor
from service.cli.keys import create_key
from service.config.limits import ProjectLimits
from service.core import clock
from service.core.redis import Client, Purpose, writing_for
from service.core.redis.record_quota import RecordUse
from service.projects.records import Role
from service.web.permissions import needed_by, purpose_of
from service.worker.main import WorkerProcess
from tests.conftest import BASE_MODEL, Api, chat_line, upload

KIB, MIB = 2**10, 2**20
ROOT = "/v1/organization/projects"
ROWS = "\n".join(chat_line(f"q{n}", f"a{n}") for n in range(12)).encode()
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


UPLOAD = {
    "filename": "a.jsonl",
    "bytes": len(ROWS),
    "mime_type": "application/jsonl",
    "purpose": "fine-tune",
}


def an_eval(chars: int, graders: int = 1) -> dict[str, Any]:
    """An eval whose graders have this many characters each."""
    source = "def grade(sample, item):\n    return 1.0\n#" + "x" * chars
    return {
        "data_source_config": {"type": "custom", "item_schema": SCHEMA},
        "testing_criteria": [
            {"type": "python", "name": f"g{n}", "source": source, "pass_threshold": 0.5}
            for n in range(graders)
        ],
    }


async def post_eval(
    http: httpx.AsyncClient, chars: int, graders: int = 1, key: str | None = None
) -> httpx.Response:
    headers = {} if key is None else {"idempotency-key": key}
    return await http.post("/v1/evals", json=an_eval(chars, graders), headers=headers)


def refused(answer: httpx.Response, status: int, code: str) -> str:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert answer.headers["x-should-retry"] == "false"
    return str(error["message"])


@pytest.fixture
def redis(api: Api) -> Client:
    return api.app.state.redis


@pytest.fixture
def use(redis: Client) -> RecordUse:
    assert isinstance(redis.record_use, RecordUse)
    return redis.record_use


async def of(api: Api, name: str = "acme") -> str:
    return str((await api.app.state.projects.by_name(name)).id)


async def used(api: Api, use: RecordUse, name: str = "acme") -> int:
    [size] = await use.totals([await of(api, name)])
    return size


@pytest.fixture
async def memory(redis: Client, monkeypatch) -> AsyncIterator[Any]:
    """Set how much memory Redis has beyond what it uses, or end that with None."""
    monkeypatch.setattr(redis, "patience_s", 0)

    async def beyond(more: float, share: float = 0.0) -> int:
        in_use = (await redis.info("memory"))["used_memory"]
        limit = int(in_use / share) if share else int(in_use + more)
        await redis.config_set("maxmemory", limit)
        return limit

    yield beyond
    await redis.config_set("maxmemory", 0)


async def test_each_write_counts_the_bytes_of_its_project(api: Api, http, redis, use):
    before = await used(api, use)
    made = (await post_eval(http, 50 * KIB, key="k")).json()
    await upload(http, ROWS)
    grown = await used(api, use) - before
    assert grown > 100 * KIB  # the eval, and the answer for its Idempotency-Key
    assert (await http.delete(f"/v1/evals/{made['id']}")).status_code == 200
    assert 45 * KIB < grown - (await used(api, use) - before) < 70 * KIB

    counted = await used(api, use)
    await redis.delete("finetuned:record-counted")
    await use.recount()
    assert abs(await used(api, use) - counted) < 2 * KIB


async def test_expired_answers_leave_the_count(api: Api, http, use, monkeypatch):
    await post_eval(http, 50 * KIB, key="k")
    before = await used(api, use)
    now = clock.now()
    monkeypatch.setattr("service.core.redis.record_quota.clock.now", lambda: now + 26 * 3600)
    assert 45 * KIB < before - await used(api, use) < 70 * KIB


async def test_a_recount_corrects_whatever_was_not_counted(api: Api, http, redis, use):
    await post_eval(http, 50 * KIB)
    counted, key = await used(api, use), f"finetuned:{await of(api)}:record-bytes"
    for wrong in (b"999999999", b"-5", None):
        await redis.delete(key)
        if wrong is not None:
            await redis.hset(key, "kept", wrong)
        await redis.delete("finetuned:record-counted")
        await use.recount()
        assert await used(api, use) == counted
    await redis.hset("finetuned:proj_gone:record-bytes", "kept", 5)
    await redis.hset(key, "kept", 5)
    await use.recount()  # not yet: the last one was a moment ago
    assert await used(api, use) == 5
    await redis.delete("finetuned:record-counted")
    await use.recount()
    assert await redis.exists("finetuned:proj_gone:record-bytes") == 0


async def test_a_project_cannot_exceed_its_quota(api: Api, http, redis, use):
    made = (await post_eval(http, 20 * KIB)).json()
    file_id = (await upload(http, ROWS)).json()["id"]
    quota = await used(api, use) + 200 * KIB
    project = await api.app.state.projects.limit(await of(api), ProjectLimits(record_bytes=quota))
    answers = [await post_eval(http, 50 * KIB, key=str(n)) for n in range(5)]
    message = refused(answers[-1], 413, "quota_exceeded")
    assert str(quota) in message
    assert "record_bytes" in message
    assert await used(api, use) < quota
    await api.app.state.projects.limit(project.id, ProjectLimits(record_bytes=1))
    # What exists can be read, made smaller and deleted, and another project notices nothing.
    assert (await http.get(f"/v1/files/{file_id}/content")).status_code == 200
    assert (await http.post(f"/v1/evals/{made['id']}", json={"metadata": {}})).status_code == 200
    async with await api.client("other") as other:
        assert (await post_eval(other, 50 * KIB)).status_code == 200
    assert (await http.delete(f"/v1/files/{file_id}")).status_code == 200
    assert (await http.delete(f"/v1/evals/{made['id']}")).status_code == 200
    await api.app.state.projects.limit(project.id, ProjectLimits(record_bytes=quota))
    assert (await post_eval(http, 15 * KIB)).status_code == 200


CREATING: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/evals", an_eval(9)),
    ("POST", "/v1/evals/{eval}", {"metadata": {"k": "v" * 512}}),
    ("POST", "/v1/uploads", UPLOAD),
    (
        "POST",
        "/v1/webhook_endpoints",
        {"url": "http://127.0.0.1:9/", "event_types": ["eval.run.failed"], "name": "w"},
    ),
    ("POST", "/v1/fine_tuning/jobs", {"model": BASE_MODEL, "training_file": "{file}"}),
    ("PUT", "/v1/recognizers/customer", {"terms": ["Acme Trading"]}),
    ("PUT", "/v1/aliases/prod", {"model": BASE_MODEL}),
    ("POST", f"{ROOT}/{{project}}/api_keys", {"name": "k"}),
    ("POST", f"{ROOT}/{{project}}/service_accounts", {"name": "s"}),
]


@pytest.mark.parametrize(("method", "path", "body"), CREATING)
async def test_all_created_objects_count_toward_the_quota(api: Api, use, method, path, body):
    settings = {"webhook_allowed_hosts": ("127.0.0.1:9",)}
    api.app.state.settings = api.settings.model_copy(update=settings)
    async with await api.client("acme", Role.PROJECT_ADMIN) as http:
        places = {
            "file": (await upload(http, ROWS)).json()["id"],
            "eval": (await post_eval(http, 9)).json()["id"],
            "project": await of(api),
        }
        body = json.loads(json.dumps(body).replace("{file}", places["file"]))
        projects, before = api.app.state.projects, await used(api, use)
        await projects.limit(places["project"], ProjectLimits(record_bytes=before + 50))
        refused(await http.request(method, path.format(**places), json=body), 413, "quota_exceeded")
        assert await used(api, use) < before + 50
        await projects.limit(places["project"], ProjectLimits(record_bytes=before + 100 * KIB))
        answer = await http.request(method, path.format(**places), json=body)
        assert answer.is_success, answer.text
        assert await used(api, use) > before + 50


async def test_the_size_of_a_whole_object_is_limited(api: Api, http):
    message = refused(await post_eval(http, 60 * KIB, graders=10), 413, "object_too_large")
    assert "graders" in message
    assert (await post_eval(http, 60 * KIB, graders=7)).status_code == 200
    assert len((await http.get("/v1/evals")).json()["data"]) == 1


async def test_a_project_at_its_quota_does_not_disturb_others(
    api: Api, redis, use, memory, settings
):
    limit = await memory(24 * MIB)
    async with (
        await api.client("greedy") as greedy,
        await api.client("other") as other,
        await api.client("root", Role.ADMIN) as admin,
    ):
        answers: list[httpx.Response] = []
        while not answers or answers[-1].status_code == 200:
            keys = [f"{len(answers)}-{n}" for n in range(16)]
            made = (post_eval(greedy, 60 * KIB, key=key) for key in keys)
            answers += sorted(await asyncio.gather(*made), key=lambda answer: answer.status_code)
        refused(answers[-1], 413, "quota_exceeded")
        assert limit / 20 < await used(api, use, "greedy") < limit / 8 + 256 * KIB
        file_id = (await upload(other, ROWS)).json()["id"]
        assert (await other.get(f"/v1/files/{file_id}/content")).status_code == 200
        await _goes_on(other, file_id)
        greedy_id = await of(api, "greedy")
        assert (await admin.delete(f"{ROOT}/{greedy_id}")).status_code in {200, 202}
        assert (await greedy.get("/v1/evals")).status_code == 401
        await _deleted(settings, admin, greedy_id)
    assert (await use.totals([greedy_id])) == [0]


async def _goes_on(http: httpx.AsyncClient, file_id: str) -> None:
    """A job is created and cancelled, and a file is deleted."""
    body = {"model": BASE_MODEL, "training_file": file_id}
    job = await http.post("/v1/fine_tuning/jobs", json=body)
    assert job.status_code in {200, 201}, job.text
    path = f"/v1/fine_tuning/jobs/{job.json()['id']}/cancel"
    assert (await http.post(path)).status_code == 200
    assert (await http.delete(f"/v1/files/{file_id}")).status_code == 200


async def _deleted(settings: Any, admin: httpx.AsyncClient, project_id: str) -> None:
    worker = WorkerProcess(settings, ["cpu"])
    try:
        async with asyncio.timeout(60):
            while (await admin.get(f"{ROOT}/{project_id}")).status_code != 404:
                await worker._reconciler.once()
                await asyncio.sleep(0.2)
    finally:
        await worker._redis.aclose(close_connection_pool=True)


async def test_new_objects_cannot_use_the_reserve(api: Api, http, redis, memory):
    file_id = (await upload(http, ROWS)).json()["id"]
    eval_id = (await post_eval(http, KIB)).json()["id"]
    project_id = await of(api)
    await redis.setrange("finetuned:filler", 20 * MIB, "x")
    await memory(0, share=0.85)  # only small projects
    small = await post_eval(http, KIB)
    await api.app.state.projects.limit(project_id, ProjectLimits(record_bytes="unlimited"))
    await redis.hset(f"finetuned:{project_id}:record-bytes", "kept", 4 * MIB)
    message = refused(await post_eval(http, KIB), 503, "redis_full")
    assert small.status_code == 200
    assert "memory" in message
    await redis.hset(f"finetuned:{project_id}:record-bytes", "kept", 0)
    await memory(0, share=0.95)  # nobody
    refused(await post_eval(http, KIB), 503, "redis_full")
    refused(await upload(http, ROWS), 503, "redis_full")
    assert (await http.get(f"/v1/files/{file_id}/content")).status_code == 200
    assert (await http.delete(f"/v1/evals/{eval_id}")).status_code == 200
    assert (await http.delete(f"/v1/files/{file_id}")).status_code == 200


async def test_releases_work_without_free_memory(api: Api, redis, memory, settings):
    async with (
        await api.client("greedy") as greedy,
        await api.client("other", Role.PROJECT_ADMIN) as other,
        await api.client("root", Role.ADMIN) as admin,
    ):
        eval_id = (await post_eval(greedy, 60 * KIB)).json()["id"]
        file_id = (await upload(other, ROWS)).json()["id"]
        body = {"model": BASE_MODEL, "training_file": file_id}
        job = (await other.post("/v1/fine_tuning/jobs", json=body)).json()
        greedy_id, other_id = await of(api, "greedy"), await of(api, "other")
        keys = (await admin.get(f"{ROOT}/{greedy_id}/api_keys")).json()["data"]
        await redis.config_set("maxmemory", 1)
        with contextlib.suppress(Exception):
            await redis.set("finetuned:filler", "x")
        assert await redis.exists("finetuned:filler") == 0  # it is really full

        refused(await post_eval(other, KIB), 503, "redis_full")
        assert (await other.get(f"/v1/files/{file_id}/content")).status_code == 200
        assert (await greedy.delete(f"/v1/evals/{eval_id}")).status_code == 200
        path = f"/v1/fine_tuning/jobs/{job['id']}/cancel"
        assert (await other.post(path)).status_code == 200
        assert (await other.delete(f"/v1/files/{file_id}")).status_code == 200
        path = f"{ROOT}/{greedy_id}/api_keys/{keys[0]['id']}"
        assert (await admin.delete(path)).status_code == 200
        assert (await greedy.get("/v1/evals")).status_code == 401
        limits = {"limits": {"record_bytes": 10_000}}
        assert (await admin.post(f"{ROOT}/{other_id}", json=limits)).status_code == 200
        assert (await admin.delete(f"{ROOT}/{greedy_id}")).status_code in {200, 202}
        await _deleted(settings, admin, greedy_id)


async def test_results_are_the_same_without_free_memory(redis, memory):
    async def results() -> list[Any]:
        await redis.delete("a", "b", "c")
        with writing_for(Purpose.RELEASE):
            async with redis.pipeline(transaction=True) as pipe:
                pipe.set("a", "1").get("a").incr("a").expire("a", 60).get("none")
                pipe.hset("b", mapping={"x": "1"}).hgetall("b").sadd("c", "y").smembers("c")
                found = await pipe.execute()
            return [*found, await redis.set("a", "2"), await redis.sadd("c", "z")]

    expected = await results()
    assert expected[:5] == [True, b"1", 2, True, None]
    await redis.config_set("maxmemory", 1)
    assert await results() == expected


async def test_doctor_names_the_largest_projects_and_commands_still_work(
    api: Api, http, redis, monkeypatch, settings
):
    url = settings.redis_url.get_secret_value()
    monkeypatch.setenv("FINETUNED_REDIS_URL", url)
    await post_eval(http, 60 * KIB)
    [finding] = await doctor._redis_memory(url)
    assert (finding.level, finding.how.split(" ")[0]) == ("note", "set")
    await redis.config_set("maxmemory", 1)
    try:
        secret = await create_key(None, "acme", "operator's", "admin", None, None)
        [finding] = await doctor._redis_memory(url)
        await redis.config_set("min-replicas-to-write", 1)
        with pytest.raises(ValueError, match=r"Redis refuses a command \(.*NOREPLICAS\)"):
            await create_key(None, "acme", "operator's", "admin", None, None)
    finally:
        await redis.config_set("min-replicas-to-write", 0)
        await redis.config_set("maxmemory", 0)
    assert finding.level == "missing"
    assert "acme 0.1 MiB" in finding.found
    assert "record_bytes" in finding.how
    headers = {"authorization": f"Bearer {secret}"}
    assert (await http.get("/v1/whoami", headers=headers)).status_code == 200


def test_every_deletion_may_use_the_reserve(settings):
    methods = defaultdict(list)
    for route in create_app(settings).routes:
        if isinstance(route, APIRoute) and needed_by(route) is not None:
            for method in route.methods:
                methods[method].append(route)
    assert {purpose_of(route) for route in methods["DELETE"]} == {Purpose.RELEASE}
    creating = {r.operation_id for r in methods["POST"] if purpose_of(r) is Purpose.CREATE}
    assert {"createEval", "createApiKey", "createWebhookEndpoint", "createUpload"} <= creating
    assert not [name for name in creating if str(name).startswith(("cancel", "archive", "rotate"))]


def test_the_tests_of_the_limits_in_the_docs_exist():
    page = Path("docs/operations.md").read_text("utf-8")
    table = page.split("## What one project can take from others")[1].split("\n## ")[0]
    named = re.findall(r"`([a-z_/]+\.py)`", table)
    assert len(named) > 20
    assert not [name for name in named if not Path("tests", name).is_file()]
