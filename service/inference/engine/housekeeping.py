"""What vLLM remembers of adapters, kept as small as the cache of folders.

vLLM's server keeps each adapter's name and path for ever, and an entry in its metrics for each
set of adapters that ever ran together. A name that vLLM still knows when its folder is gone
ends the engine at the next request without a hold; so it forgets the name first, and asks the
resolver anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import Any

from service.core import metrics
from service.inference.engine.adapters import Adapters, AdapterUnavailable

log = logging.getLogger(__name__)


class Housekeeper:
    """Works beside one vLLM server, in its event loop."""

    def __init__(self, adapters: Adapters, state: Any, *, every_s: float) -> None:
        """`state` is that of vLLM's own application."""
        self._adapters = adapters
        self._models = state.openai_serving_models
        self._engine = state.engine_client
        self._every_s = every_s
        self._unloading: set[asyncio.Task[None]] = set()
        adapters.on_removal(self.forget)

    async def run(self) -> None:
        """Go round for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            with contextlib.suppress(AdapterUnavailable):  # the registry is away: next time
                await self._adapters.forget_deleted()
            self._shrink_metrics()
            await self._count_loaded()

    def forget(self, name: str) -> None:
        """Have vLLM forget an adapter: its name at once, its weights in a moment."""
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
        except Exception:  # whatever vLLM raises; the number is not known now
            log.debug("the engine does not tell its adapters", exc_info=True)
            metrics.ADAPTERS.cell("memory").value = math.nan
        else:
            metrics.ADAPTERS.cell("memory").value = len(loaded)

    async def _unload(self, number: int) -> None:
        try:
            await self._engine.remove_lora(number)
        except Exception:  # whatever vLLM raises; the weights go when others need the place
            log.warning("an adapter's weights stay in memory for now", exc_info=True)
