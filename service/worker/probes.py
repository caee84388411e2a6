"""The worker's own HTTP port: `/livez`, `/readyz` and `/metrics`.

The worker's GPUs are asked for their use when the metrics are scraped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.config import Settings
from service.core.redis import Client
from service.core.startup_checks import is_complete
from service.fleet.nvml import GpuMonitor
from service.fleet.redis_metrics import observe_redis
from service.web.probing import passes
from service.web.side_port import serve


@asynccontextmanager
async def serve_probes(
    redis: Client, settings: Settings, liveness: LoopLiveness, gpus: GpuMonitor
) -> AsyncIterator[None]:
    """Serve the probes inside the block.

    `/livez` returns 503 while a background loop is stalled, and names the loop. It does not check
    any dependency.
    """

    async def livez(_: web.Request) -> web.Response:
        if stalled := liveness.stalled():
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

    async def prometheus(_: web.Request) -> web.Response:
        await asyncio.gather(observe_redis(redis), gpus.observe())
        return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    routes = {"/livez": livez, "/readyz": readyz, "/metrics": prometheus}
    host, port = settings.worker_host, settings.worker_port
    async with serve(routes, host, port, setting="FINETUNED_WORKER"):
        yield


class LoopLiveness:
    """Time of the last iteration of each background loop, failed ones included."""

    def __init__(self, *, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._beats: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """Record an iteration of a loop."""
        self._beats[loop] = self._clock()

    def stalled(self) -> list[str]:
        """Return the names of the loops without an iteration for `patience_s`, sorted."""
        oldest = self._clock() - self._patience_s
        return sorted(loop for loop, beat in self._beats.items() if beat < oldest)
