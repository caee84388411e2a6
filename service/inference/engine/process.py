"""Shared state of the service's code in vLLM's processes, built from the environment on first use.

`launch` sets the variables below for the engines that it starts. Without them, none of the
service's code is active in a vLLM process.

Housekeeping removes vLLM's state for adapters that the folder cache has dropped or that were
deleted. vLLM's server keeps each adapter's name and path forever, and a metrics entry for each set
of adapters that ever ran together. If vLLM still knows a name after its folder is gone, the next
request without a hold ends the engine. So vLLM forgets the name first, and asks the resolver again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from service import __version__
from service.config import Settings
from service.core import logs, metrics, tasks
from service.core.invalidation import InvalidationKind, Invalidations
from service.core.metric_types import Process
from service.core.redis import connect
from service.core.storage import Storage
from service.inference.engine.adapters import AdapterCache, Adapters, AdapterUnavailable
from service.inference.engine.sleep import Sleeper
from service.models.adapters import load_verifying_key
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry

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


_SETTLE_S = 0.5  # so that a deletion of many models is one look


class ModelChanges:
    """Pauses until a model that this engine has is changed.

    So an engine removes its copy of a deleted model within seconds. If a message is lost, or Redis
    is unavailable, it does so at the end of the pause.
    """

    def __init__(
        self, invalidations: Invalidations, has: Callable[[str], bool], *, every_s: float
    ) -> None:
        self._has = has
        self._every_s = every_s
        self._changed = asyncio.Event()
        invalidations.on(InvalidationKind.MODEL, self._note)
        invalidations.on_gap(self._changed.set)

    async def pause(self) -> None:
        """Wait for a change, at most for the interval."""
        try:
            await asyncio.wait_for(self._changed.wait(), self._every_s)
        except TimeoutError:
            return
        await asyncio.sleep(min(_SETTLE_S, self._every_s))
        self._changed.clear()

    def _note(self, _project_id: str, name: str) -> None:
        if self._has(name):
            self._changed.set()


MODEL_VARIABLE = "FINETUNED_ENGINE_MODEL"
"""ID of the base model that this engine serves."""
MODEL_PATH_VARIABLE = "FINETUNED_ENGINE_MODEL_PATH"
"""Folder of the model's weights."""
LAYOUT_PATH_VARIABLE = "FINETUNED_ENGINE_LAYOUT_PATH"
"""Folder of the model's weights in 16 bits, with which adapters are compared."""
GPUS_VARIABLE = "FINETUNED_ENGINE_GPUS"
"""Number of GPUs that this engine uses."""
_RUNNING_ADAPTERS = "vllm:lora_requests_info"


def is_ours() -> bool:
    """Return whether this process belongs to an engine that `launch` started."""
    return MODEL_VARIABLE in os.environ and MODEL_PATH_VARIABLE in os.environ


@functools.cache
def adapters() -> Adapters:
    """Return the adapters of this engine. Call it in the event loop of the engine's server."""
    settings = Settings()
    logs.configure("inference", settings.log_level)
    registry = ModelRegistry(
        connect(settings.redis_url.get_secret_value()),
        Catalogue(settings.models_file),
        cache_s=settings.lookup_cache_s,
    )
    cache = AdapterCache(
        settings.adapter_cache,
        settings.adapter_cache_bytes,
        Storage.from_url(
            settings.storage_url,
            master_key=settings.master_key(),
            only_encrypted=settings.encryption_required,
        ).get_folder,
    )
    return Adapters(
        registry,
        cache,
        base_model=os.environ[MODEL_VARIABLE],
        base_path=Path(os.environ.get(LAYOUT_PATH_VARIABLE) or os.environ[MODEL_PATH_VARIABLE]),
        max_rank=settings.lora_rank_limit,
        key=load_verifying_key(settings.adapter_key_file),
    )


def sleeper() -> Sleeper | None:
    """Return the sleeper of an engine that time-slices its GPU with trainings, else None."""
    settings = Settings()
    if settings.gpu_sharing != "time-slice":
        return None
    return Sleeper(drain_s=settings.engine_drain_s)


def start_housekeeping(state: Any) -> asyncio.Task[None]:
    """Start the periodic cleanup. `state` is the state of vLLM's application."""
    metrics.begin(Process.ENGINE, __version__)
    keep_one_series_of_running_adapters()
    every_s, ours = Settings().adapter_sweep_s, adapters()
    invalidations = Invalidations(ours.registry.redis)
    gpus = int(os.environ.get(GPUS_VARIABLE, "0"))
    metrics.ENGINE_GPUS.cell(os.environ[MODEL_VARIABLE]).set(gpus)
    pause = ModelChanges(invalidations, ours.has, every_s=every_s).pause
    housekeeper = Housekeeper(ours, state, pause=pause)

    async def listening() -> None:
        async with invalidations.listening():
            await housekeeper.run()

    return asyncio.create_task(tasks.keep("housekeeping", listening))


@functools.cache
def adapt_answers() -> None:
    """Let vLLM's server in this process answer as OpenAI's API does. Only the first call counts."""
    from service.inference.engine import answer_fields, tool_calls

    answer_fields.install()
    answer_fields.install_chat_inputs()
    tool_calls.install()


def keep_one_series_of_running_adapters() -> None:
    """Keep only the latest series of `vllm:lora_requests_info`.

    vLLM 0.32 keeps a series for every set of adapters that ever ran together, for as long as the
    process lives. Metrics are read in another thread, so the previous series is removed only after
    there is a new one.
    """
    gauge = getattr(REGISTRY, "_names_to_collectors", {}).get(_RUNNING_ADAPTERS)
    if gauge is None:
        return
    labelled = gauge.labels
    latest: dict[str, str] = {}

    def labels(**named: Any) -> Any:
        child = labelled(**named)
        values = {name: str(value) for name, value in named.items()}
        if latest and latest != values:
            gauge.remove(*(latest[name] for name in gauge._labelnames))  # noqa: SLF001
        latest.clear()
        latest.update(values)
        return child

    gauge.labels = labels


def die_with_parent() -> None:
    """End this child process of the engine when its parent is gone.

    vLLM's EngineCore outlives a killed API server and keeps its memory forever (seen with 0.32), so
    the next engine on the machine would not have enough.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()


def shield_workers() -> None:
    """Let only EngineCore end the processes that compute, which it starts from now on.

    systemd sends SIGTERM to all processes of a service. The API server and EngineCore of vLLM 0.32
    then let open requests end, but a worker exits at once. It still ends with EngineCore's pipe.
    """
    from vllm.v1.executor.multiproc_executor import WorkerProc

    make = WorkerProc.make_worker_process

    def make_shielded(*args: Any, **options: Any) -> Any:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return make(*args, **options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    WorkerProc.make_worker_process = staticmethod(make_shielded)
