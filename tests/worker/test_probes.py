"""Tests of a worker's `/livez`: 503 while a loop is stalled, whatever Redis does."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from service.core.redis import connect
from service.fleet.nvml import GpuMonitor
from service.standalone.services import free_port
from service.worker.probes import LoopLiveness, serve_probes
from tests.web.test_security_headers import DEFAULTS, safe

LOOPS = {
    *("queue cpu", "queue evals", "queue batches", "queue gpu", "reconciler", "presence"),
    *("outbox", "warm-ups", "webhooks", "tracking", "audit log"),
}


@pytest.fixture
async def away(closed_url):
    client = connect(closed_url, retries=0)
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def closed_url() -> str:
    return f"redis://127.0.0.1:{free_port()}"


async def test_livez_names_the_loops_that_stand_still(settings, away):
    now_s = 0.0
    liveness = LoopLiveness(patience_s=60, clock=lambda: now_s)
    settings = settings.model_copy(update={"worker_port": (port := free_port())})
    async with (
        serve_probes(away, settings, liveness, GpuMonitor([])),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        liveness.beat("queue cpu")
        liveness.beat("reconciler")
        now_s = 59
        alive = await http.get("/livez")
        assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
        assert (await http.get("/readyz")).status_code == 503
        liveness.beat("queue cpu")
        now_s = 61
        stalled = await http.get("/livez")
        assert stalled.status_code == 503
        assert stalled.json() == {"status": "stalled", "loops": ["reconciler"]}
        liveness.beat("reconciler")
        assert (await http.get("/livez")).status_code == 200
        refused = await http.post("/livez")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
        for answer in (stalled, refused, await http.get("/metric")):
            assert safe(answer.headers) == DEFAULTS


async def test_every_loop_of_a_worker_beats(settings, work):
    async with work("cpu", "gpu") as worker:
        liveness = worker._liveness
        async with asyncio.timeout(60):
            while liveness._beats.keys() < LOOPS:
                await asyncio.sleep(0.02)
        assert liveness._beats.keys() == LOOPS
        assert liveness.stalled() == []
