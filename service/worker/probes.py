"""The worker's own HTTP port: `/livez`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.config import Settings
from service.core.redis import Client
from service.core.startup_checks import is_complete
from service.fleet.redis_metrics import observe_redis
from service.web.probing import passes
from service.web.side_port import serve
from service.worker.gpu_metrics import GpuMetrics
from service.worker.pulse import Pulse


@asynccontextmanager
async def serve_probes(redis: Client, settings: Settings, pulse: Pulse) -> AsyncIterator[None]:
    """Serve the probes inside the block.

    `/livez` returns 503 while a background loop is stalled, and names the loop. It does not check
    any dependency.
    """

    async def livez(_: web.Request) -> web.Response:
        if stalled := pulse.stalled():
            return web.json_response({"status": "stalled", "loops": stalled}, status=503)
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        ready = await passes(_answers)
        body = {
            "status": "ok" if ready else "away",
            "parts": {"redis": "ok" if ready else "away"},
        }
        return web.json_response(body, status=200 if ready else 503)

    async def _answers() -> bool:
        return await is_complete(redis)

    gpus = GpuMetrics()

    async def prometheus(_: web.Request) -> web.Response:
        await asyncio.gather(observe_redis(redis), gpus.observe())
        return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    routes = {"/livez": livez, "/readyz": readyz, "/metrics": prometheus}
    host, port = settings.worker_host, settings.worker_port
    async with serve(routes, host, port, setting="FINETUNED_WORKER"):
        yield
