"""Removal of vLLM's state for adapters that the folder cache has dropped.

vLLM's server keeps each adapter's name and path forever, and a metrics entry for each set of
adapters that ever ran together. If vLLM still knows a name after its folder is gone, the next
request without a hold ends the engine. So vLLM forgets the name first, and asks the resolver
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from service.core import metrics
from service.inference.engine.adapters import Adapters, AdapterUnavailable

log = logging.getLogger(__name__)
Pause = Callable[[], Awaitable[object]]


class Housekeeper:
    """Periodic cleanup that runs in the event loop of a vLLM server."""

    def __init__(self, adapters: Adapters, state: Any, *, pause: Pause) -> None:
        """Create the housekeeper. `state` is the state of vLLM's application."""
        self._adapters = adapters
        self._models = state.openai_serving_models
        self._engine = state.engine_client
        self._pause = pause
        self._unloading: set[asyncio.Task[None]] = set()
        adapters.on_removal(self.forget)

    async def run(self) -> None:
        """Run the cleanup after each pause, forever."""
        while True:
            await self._pause()
            with contextlib.suppress(AdapterUnavailable):  # registry unavailable: retry later
                await self._adapters.forget_deleted()
            self._shrink_metrics()
            await self._count_loaded()

    def forget(self, name: str) -> None:
        """Make vLLM forget an adapter: its name immediately, its weights soon after."""
        request = self._models.lora_requests.pop(name, None)
        self._models.lora_resolver_lock.pop(name, None)
        if request is not None:
            task = asyncio.create_task(self._unload(request.lora_int_id))
            self._unloading.add(task)
            task.add_done_callback(self._unloading.discard)

    def _shrink_metrics(self) -> None:
        manager = getattr(self._engine, "logger_manager", None)
        for logger in getattr(manager, "stat_loggers", ()):
            if (gauge := getattr(logger, "gauge_lora_info", None)) is not None:
                gauge.clear()

    async def _count_loaded(self) -> None:
        try:
            loaded = await self._engine.list_loras()
        except Exception:  # vLLM can raise anything; the number stays unknown for now
            log.debug("the engine does not list its adapters", exc_info=True)
            metrics.ADAPTERS.cell("memory").set(math.nan)
        else:
            metrics.ADAPTERS.cell("memory").set(len(loaded))

    async def _unload(self, number: int) -> None:
        try:
            await self._engine.remove_lora(number)
        except Exception:  # vLLM can raise anything; eviction frees the weights later
            log.warning("an adapter's weights stay in memory for now", exc_info=True)
