"""Memory use and utilization of this worker's GPUs, read from NVML at scrape time.

Nothing is reported without a GPU.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any

from service.core import metrics
from service.fleet.capacity import own_gpus

log = logging.getLogger(__name__)
_PATIENCE_S = 2.0  # a driver may hang, and must not block a scrape or a lease


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
        await asyncio.wait([self._querying], timeout=_PATIENCE_S)

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
