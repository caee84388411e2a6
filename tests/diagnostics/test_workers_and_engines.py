"""Tests of what administrators see of workers, queues, engines and the installation."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from aiohttp import web

from service import __version__
from service.config import Settings
from service.core import clock, queue
from service.core.redis import Client
from service.diagnostics.checks import CODES
from service.diagnostics.engine_metrics import EngineMetrics
from service.fleet import workers
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api
from tests.http_server import http_server

_ORGANIZATION = "/v1/organization"
# As vLLM 0.32 and this service export them.
_METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny-base"} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="tiny-base"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny-base",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny-base"} 0.25
vllm:lora_requests_info{max_lora="4",running_lora_adapters="ft:b,ft:a",waiting_lora_adapters=""} 9.0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="ft:old",waiting_lora_adapters=""} 8.0
finetuned_adapters{place="disk"} 7.0
finetuned_adapters{place="memory"} 4.0
finetuned_build_info{process="inference",version="0.2.9"} 1.0
"""


async def listed(http: httpx.AsyncClient, what: str) -> list[dict[str, Any]]:
    """The objects of a list of the installation."""
    answer = await http.get(f"{_ORGANIZATION}/{what}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_a_worker_is_listed_with_its_tasks_and_leaves(api: Api, redis: Client, work):
    async with await api.client(role=Role.ADMIN) as admin:
        async with work("cpu", "gpu"), asyncio.timeout(60):
            while not (found := await listed(admin, "workers")):
                await asyncio.sleep(0.02)
        (worker,) = found
        assert (worker["id"], worker["queues"]) == ("test-worker", ["cpu", "gpu"])
        assert worker["version"] == __version__
        assert abs(worker["last_heartbeat_at"] - clock.now()) < 60
        assert worker["memory_bytes"] > 0
        assert await listed(admin, "workers") == []
        trains = workers.Worker(
            name="gpu-1",
            queues=("gpu",),
            device="cuda",
            device_name="NVIDIA L4",
            gpus=1,
            memory_bytes=24 << 30,
            busy=True,
            task=queue.task_id("train", "ftjob-abc", 2),
        )
        await workers.announce(redis, trains)
        (worker,) = await listed(admin, "workers")
        assert worker["status"] == "busy"
        assert worker["tasks"] == [{"type": "train", "object_id": "ftjob-abc", "attempt": 2}]


async def test_the_tasks_of_a_worker_are_announced(redis: Client):
    worker = workers.Worker(
        name="w", queues=("cpu",), device="cpu", device_name="x", gpus=0, memory_bytes=1
    )
    presence = workers.Presence(redis, worker, lambda: {"tasks": ("check_file:file-a:1",)})
    await presence.announce()
    (seen,) = await workers.alive(redis)
    assert seen.tasks == ("check_file:file-a:1",)


async def test_queues_count_what_waits(api: Api, redis: Client):
    await queue.enqueue(redis, queue.CPU, "check_file", "proj_a", "file-a", 1)
    async with await api.client(role=Role.AUDITOR) as auditor:
        found = {one["id"]: one for one in await listed(auditor, "queues")}
    assert list(found) == ["cpu", "gpu", "evals", "batches"]
    assert (found["cpu"]["waiting"], found["cpu"]["workers"]) == (1, 0)
    assert abs(found["cpu"]["oldest_waiting_at"] - clock.now()) < 60
    assert (found["gpu"]["waiting"], found["gpu"]["oldest_waiting_at"]) == (0, None)


def test_metrics_of_an_engine_are_read():
    assert EngineMetrics.parse(_METRICS) == EngineMetrics(
        running=3,
        waiting=2,
        cache_usage=0.25,
        adapters_loaded=4,
        adapters_on_disk=7,
        running_adapters=("ft:a", "ft:b"),
        waiting_adapters=(),
        version="0.2.9",
    )
    assert EngineMetrics.parse('finetuned_adapters{place="memory"} NaN') == EngineMetrics()
    assert EngineMetrics.parse("") == EngineMetrics()
    for broken in ('{engine="0" 3', " abc", " +Inf"):
        assert EngineMetrics.parse(f"vllm:num_requests_running{broken}\n") == EngineMetrics()
    two = "".join(f'vllm:kv_cache_usage_perc{{engine="{n}"}} 0.{n + 8}\n' for n in (0, 1))
    assert EngineMetrics.parse(two).cache_usage == 0.9


async def _answer(request: web.Request) -> web.Response:
    return web.Response(text=_METRICS if request.path == "/metrics" else "")


async def test_engines_are_listed_with_their_load_also_if_they_are_down(settings: Settings):
    async with http_server(_answer) as url:
        place = url.removeprefix("http://")
        urls = f"http://user:secret@{place},http://127.0.0.1:1"
        api = await Api.start(settings.model_copy(update={"upstreams": {BASE_MODEL: urls}}))
        async with api.serving, await api.client(role=Role.ADMIN) as admin, asyncio.timeout(60):
            while (found := await listed(admin, "engines"))[0]["status"] == "starting":
                await asyncio.sleep(0.05)
    up, down = found
    assert (up["id"], up["model"]) == (url, BASE_MODEL)
    assert up["status"] in ("warming", "serving")
    assert (up["requests_running"], up["requests_waiting"], up["version"]) == (3, 2, "0.2.9")
    assert up["adapters_running"] == ["ft:a", "ft:b"]
    assert (down["status"], down["requests_running"]) == ("starting", None)


async def test_diagnostics_say_what_is_wrong_and_how_to_fix_it(settings: Settings, redis: Client):
    changes = {"upstreams": {BASE_MODEL: "http://127.0.0.1:1"}}
    api = await Api.start(settings.model_copy(update=changes))
    async with api.serving, await api.client(role=Role.ADMIN) as admin:
        found = (await admin.get(f"{_ORGANIZATION}/diagnostics")).json()
        checks = {check["name"]: check for check in found["checks"]}
        assert found["status"] == "failed"
        assert {name: check["status"] for name, check in checks.items()} == {
            "Redis": "ok",
            "Redis memory": "warning",
            "storage": "ok",
            "disk": checks["disk"]["status"],  # of this machine
            f"engine of {BASE_MODEL}": "failed",
            "cpu workers": "failed",
            "gpu workers": "failed",
            "audit log": "warning",
        }
        assert {check["code"] for check in checks.values()} <= CODES
        assert checks[f"engine of {BASE_MODEL}"]["subject"] == BASE_MODEL
        assert "worker --queues gpu" in checks["gpu workers"]["fix"]
        assert checks["Redis"]["fix"] is None
        old = workers.Worker(
            name="old",
            queues=("cpu", "gpu"),
            device="cpu",
            device_name="x",
            gpus=0,
            memory_bytes=1,
            version="0.0.1",
        )
        await workers.announce(redis, old)
        await redis.xadd("finetuned:audit", {"entry": "x"}, id="1-0")
        found = (await admin.get(f"{_ORGANIZATION}/diagnostics")).json()
        checks = {check["name"]: check for check in found["checks"][::-1]}
        assert checks["gpu workers"]["message"] == "old"
        assert "0.0.1" in checks["versions"]["message"]
        assert checks["audit log"]["status"] == "failed"


@pytest.mark.parametrize("role", [Role.PROJECT_ADMIN, Role.MEMBER, Role.READER])
async def test_only_administrators_and_auditors_see_the_installation(api: Api, role):
    async with await api.client(role=role) as http:
        for what in ("workers", "queues", "engines", "diagnostics"):
            assert (await http.get(f"{_ORGANIZATION}/{what}")).status_code == 403
