"""The worker's own HTTP port: `/livez`, `/readyz` and `/metrics`.

Memory use and utilization of the worker's GPUs are read from NVML when the metrics are scraped.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.config import Settings
from service.core import metrics
from service.core.redis import Client
from service.core.startup_checks import is_complete
from service.fleet.capacity import own_gpus
from service.fleet.redis_metrics import observe_redis
from service.web.probing import passes
from service.web.side_port import serve

log = logging.getLogger(__name__)
_NVML_TIMEOUT_S = 2.0  # a driver may hang, and must not block a scrape or a lease


@asynccontextmanager
async def serve_probes(
    redis: Client, settings: Settings, liveness: LoopLiveness
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

    gpus = GpuMetrics()

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


class GpuMetrics:
    """Updates the gauges of the GPUs that this process may use."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: dict[str, Any] = {}
        self._querying: asyncio.Task[None] | None = None
        try:
            self._nvml = importlib.import_module("pynvml")
        except ModuleNotFoundError:
            return
        try:
            self._nvml.nvmlInit()
            self._handles = {
                str(place): self._nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
                for place, gpu in enumerate(own_gpus())
            }
        except self._nvml.NVMLError as e:
            log.info("no GPU metrics: %s", e)

    async def observe(self) -> None:
        """Query the driver in a thread, and give up after a timeout."""
        if not self._handles:
            return
        if self._querying is None or self._querying.done():
            self._querying = asyncio.create_task(asyncio.to_thread(self._query))
        await asyncio.wait([self._querying], timeout=_NVML_TIMEOUT_S)

    def _query(self) -> None:
        for place, handle in self._handles.items():
            try:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                metrics.GPU_MEMORY_USED_BYTES.cell(place).set(memory.used)
                metrics.GPU_MEMORY_BYTES.cell(place).set(memory.total)
                # A GPU slice (MIG) does not report utilization.
                busy = self._nvml.nvmlDeviceGetUtilizationRates(handle)
                metrics.GPU_UTILIZATION.cell(place).set(busy.gpu / 100)
            except self._nvml.NVMLError as e:
                log.debug("GPU %s does not report metrics: %s", place, e)
