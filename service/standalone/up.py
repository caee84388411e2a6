"""`up`: starts all processes in order, prints their addresses, and runs them until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.config import Settings
from service.core import logs
from service.core.encryption.signing import InstallationKey
from service.core.redis import connect
from service.fleet.capacity import (
    all_have_bf16,
    capability,
    device_names,
    memory_bytes,
    own_gpus,
)
from service.fleet.nvml import Gpu
from service.models.add import add_model
from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError
from service.projects.records import Projects, Role
from service.standalone import services
from service.standalone.layout import DataLayout, is_full, write_private
from service.standalone.placement import (
    Placement,
    Wanted,
    engine_options,
    summary,
    wanted_engines,
)
from service.standalone.ports import PortError, holder_of, listen
from service.standalone.services import Ports, free_port
from service.standalone.sharing import choose_sharing, place_all
from service.standalone.supervisor import Service, StartFailed, Stop, Supervisor
from service.web import audit_trail as trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import Actor, Trail

log = logging.getLogger(__name__)

DEMO_MODEL = "smollm2-135m-instruct"
_PROJECT = "default"
_OPERATOR = Actor("operator", "operator")
_START_S = 120.0  # a crowded machine imports for a minute; what dies is noticed at once
_LEFTOVER_S = 5.0
_ENGINE_START_S = 900.0  # a large model may load for minutes
_FOLLOW_S, _FOLLOW_AGAIN_S = 1.0, 30.0
_FORGET_S = 4.0  # twice the time in which processes read the list of engines again


async def up(data_dir: Path, host: str, port: int, *, demo_model: bool) -> None:
    """Run the service until SIGTERM or SIGINT.

    Raises AlreadyRunning, DataFolderError, PortError or StartFailed.
    """
    layout = DataLayout(data_dir.resolve())
    with layout.open(note=f", port {port}"), contextlib.ExitStack() as stack:
        supervisor = Supervisor(layout.run, layout.logs)
        supervisor.clear_leftovers()
        # All restarts of the API listen on these sockets, so no other process can take the port.
        sockets = [stack.enter_context(one) for one in await _listen(host, port, layout)]
        _require_metrics_port()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        starting = asyncio.create_task(_start(supervisor, layout, host, sockets, demo_model))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopped
            _print("stopping …")
        except OSError as e:
            if e.filename is None and not is_full(e):
                raise
            raise layout.fault_of(e) from e
        finally:
            stack.close()  # refuses new connections
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await supervisor.stop()
            _print("stopped; nothing is left running")


async def _listen(host: str, port: int, layout: DataLayout) -> list[socket.socket]:
    """Listen. Waits until the API of a killed `up` on this folder has ended."""
    deadline = time.monotonic() + _LEFTOVER_S
    while True:
        try:
            return listen(host, port, "--port")
        except PortError:
            holder = holder_of(port)
            may_end = holder is None or holder.data_dir == layout.root
            if not may_end or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _start(
    supervisor: Supervisor,
    layout: DataLayout,
    host: str,
    sockets: Sequence[socket.socket],
    demo_model: bool,
) -> None:
    began = time.monotonic()
    if not layout.signing_key.exists() and Settings().signing_key_file is None:
        InstallationKey(layout.signing_key).make()
    catalogue = Catalogue(layout.models_file)
    if demo_model and not catalogue.all():
        await _add_demo_model(layout, catalogue)
    port = sockets[0].getsockname()[1]
    ports = Ports(api=port, valkey=free_port(), worker=free_port())
    store = services.valkey(layout, ports)
    await supervisor.start(store)
    await supervisor.until_ready(store, _START_S)
    _print(f"{'valkey':<10} {store.where}")
    supervisor.run_alongside(services.follow_disk(layout))

    env = services.environment(layout, ports, host)
    if not own_gpus():
        env.setdefault("FINETUNED_ENGINE_REQUESTS_AT_ONCE", str(services.concurrency_on_cpu()))
    await _create_first_key(layout, env["FINETUNED_REDIS_URL"])

    # The engines take the longest to load, so they start first and the others start in parallel.
    models = _Models(supervisor, layout, catalogue, env, ports)
    others = [services.api(env, ports, host, sockets)]
    others += [service for service in await models.apply() if service.stop == Stop.FIRST]
    await supervisor.start(others[0])
    for service in others:
        await supervisor.until_ready(service, _START_S)
        _print(f"{service.name:<10} {service.where}")
    _print(f"{'metrics':<10} {services.api_metrics(env)} (of the api)")
    await asyncio.gather(*(models.wait_for(*engine) for engine in models.engines()))
    if not models.engines():
        add = (
            f"finetuned-server models add SOURCE --id ID --data-dir {shlex.quote(str(layout.root))}"
        )
        _print(f"no base model yet: add one with '{add}'")
    _print(f"ready after {time.monotonic() - began:.0f} s: {others[0].where}/v1")
    _print(f"API key (admin, project '{_PROJECT}'): {layout.api_key}")
    _print(f"logs: {layout.logs}")
    supervisor.run_alongside(models.follow())


class _Models:
    """The engines of the models in the catalog, and the workers, which get the other GPUs.

    A change of the catalog starts and stops only those that differ.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        layout: DataLayout,
        catalogue: Catalogue,
        env: Mapping[str, str],
        ports: Ports,
    ) -> None:
        self._supervisor = supervisor
        self._layout = layout
        self._catalogue = catalogue
        self._env = env
        self._ports = ports
        self._entries: list[BaseModelEntry] = []
        self._urls: dict[str, list[str]] = {}
        self._engines: dict[str, list[Service]] = {}
        self._running: dict[str, tuple[Service, object]] = {}
        """Each process by its name, and what it was made from."""

    def engines(self) -> list[tuple[str, Service]]:
        """Return all engines, each with its model."""
        return [(model, one) for model, found in self._engines.items() for one in found]

    async def wait_for(self, model: str, engine: Service) -> None:
        """Wait until an engine serves. A failure does not stop the others."""
        try:
            _print(f"{'vllm':<10} loading {model} …")
            await self._supervisor.until_ready(engine, _ENGINE_START_S)
            _print(f"{'vllm':<10} {model} on {engine.where}")
        except StartFailed as e:
            if engine.ended:
                return  # its model was removed
            _print(f"{'vllm':<10} {model} is unavailable: {e}")
            self._supervisor.when_ready(
                engine, lambda: _print(f"{'vllm':<10} {model} on {engine.where}")
            )

    async def follow(self) -> None:
        """Apply each change of the catalog."""
        while True:
            await asyncio.sleep(_FOLLOW_S)
            try:
                if self._catalogue.all() == self._entries:
                    continue
                known = {service.name for service, _ in self._running.values()}
                started = await self.apply()
            except (CatalogueError, OSError) as e:
                log.warning("the catalog cannot be followed: %s", e)
                await asyncio.sleep(_FOLLOW_AGAIN_S)
                continue
            for model, engine in self.engines():
                if engine in started:
                    self._supervisor.run_alongside(self.wait_for(model, engine))
            for name in sorted(known - self._running.keys()):
                _print(f"{'stopped':<10} {name}")

    async def apply(self) -> list[Service]:
        """Start and stop what differs from the catalog, and return what was started."""
        entries = self._catalogue.all()
        placement, sharing = _place(self._catalogue)
        bases = {entry.id: entry for entry in entries}
        models = [entry.id for entry in entries if entry.served]
        urls = {model: _local_urls(placement, model, self._urls.get(model, ())) for model in models}
        env = {**self._env, "FINETUNED_GPU_SHARING": sharing}
        engines, workers = _define_engines_and_workers(placement, env, self._ports, urls)
        # Without a placement, the engines divide the memory of the machine's only GPU.
        beside = tuple(sorted(urls)) if own_gpus() and placement is None else ()
        wanted: dict[str, tuple[Service, object]] = {}
        for model, found in engines.items():
            wanted |= {one.name: (one, (one.argv, one.env, bases[model], beside)) for one in found}
        wanted |= {one.name: (one, (one.argv, one.env)) for one in workers}
        changed = [
            n for n, (_, of) in wanted.items() if of != self._running.get(n, (None, None))[1]
        ]
        left = [s for n, (s, _) in self._running.items() if n in changed or n not in wanted]
        self._write_upstreams(urls)
        if any(service not in workers for service in left) and self._running:
            await asyncio.sleep(_FORGET_S)  # until the processes send them nothing more
        await asyncio.gather(*(self._supervisor.remove(service) for service in left))
        self._running = {n: wanted[n] if n in changed else self._running[n] for n in wanted}
        self._engines = {m: [self._running[one.name][0] for one in s] for m, s in engines.items()}
        self._entries, self._urls = entries, urls
        started = [self._running[name][0] for name in changed]
        for service in started:
            await self._supervisor.start(service)
        return started

    def _write_upstreams(self, urls: Mapping[str, Sequence[str]]) -> None:
        text = json.dumps({model: ",".join(found) for model, found in urls.items()})
        write_private(self._layout.upstreams, text)


def _place(catalogue: Catalogue) -> tuple[Placement | None, str]:
    """Return where engines and trainings run if there are several GPUs, and how they share them."""
    gpus = own_gpus()
    sizes = [gpu.memory_bytes for gpu in gpus if gpu.memory_bytes is not None]
    entries = catalogue.all()
    wanted = wanted_engines(entries, capability())
    settings = _choose_gpu_sharing(catalogue, wanted, gpus)
    if len(gpus) < 2 or len(sizes) < len(gpus):
        return None, settings.gpu_sharing
    has_bf16 = all_have_bf16(gpus)
    placement = place_all(sizes, entries, wanted, settings, memory_bytes(), has_bf16)
    _print(f"{'gpus':<10} {summary(placement)}")
    return placement, placement.sharing


def _local_urls(placement: Placement | None, model: str, known: Sequence[str] = ()) -> list[str]:
    """Return a URL for each engine of a model, of which there is one if no GPU has room."""
    count = max(len(placement.engines_of(model)) if placement else 1, 1)
    new = [f"http://127.0.0.1:{free_port()}" for _ in range(count - len(known))]
    return [*known[:count], *new]


def _define_engines_and_workers(
    placement: Placement | None,
    env: Mapping[str, str],
    ports: Ports,
    urls: Mapping[str, Sequence[str]],
) -> tuple[dict[str, list[Service]], list[Service]]:
    """Return the engines of each model and the workers, each on its GPUs if there are several."""
    if placement is None:
        engines = {model: [services.inference(env, model, url)] for model, (url,) in urls.items()}
        return engines, [services.worker(env, ports.worker)]
    names = device_names(len(placement.gpus))
    engines, sleepers = {}, []
    for model, found in urls.items():
        placed = placement.engines_of(model)
        engines[model] = [] if placed else [services.inference(env, model, found[0])]
        for number, (url, engine) in enumerate(zip(found, placed, strict=False), start=1):
            own = {**env, **placement.engine_environment(engine, names)}
            options = engine_options(engine)
            engines[model].append(services.inference(own, model, url, options, number))
            sleepers += [(engine.gpus, url)] if engine.sleeps else []
    workers = []
    for number, gpus in enumerate(placement.workers, start=1):
        port = ports.of_worker(number)
        own = {**env, **placement.worker_environment(gpus, names)}
        there = [url for used, url in sleepers if set(used) & set(gpus)]
        own["FINETUNED_SLEEPING_ENGINES"] = ",".join(there)
        workers.append(services.worker(own, port, number))
    return engines, workers


def _choose_gpu_sharing(
    catalogue: Catalogue, wanted: Sequence[Wanted], gpus: Sequence[Gpu]
) -> Settings:
    """Return the settings with the choice of how engines and trainings share GPUs."""
    is_set = "gpu_sharing" in Settings().model_fields_set
    settings = up_settings()
    sizes = [gpu.memory_bytes or 0 for gpu in gpus]
    choice = choose_sharing(
        sizes if all(sizes) else [],
        catalogue.all(),
        wanted,
        settings,
        memory_bytes(),
        is_set=is_set,
        has_bf16=all_have_bf16(gpus),
    )
    if choice.why is not None:
        _print(f"{'gpus':<10} {choice.sharing}: {choice.why}")
    return settings.model_copy(update={"gpu_sharing": choice.sharing})


def _require_metrics_port() -> None:
    """Raise PortError if another process holds the metrics port of the settings."""
    settings = Settings()
    if "api_metrics_port" in settings.model_fields_set:  # otherwise, `up` chooses a free one
        port = settings.api_metrics_port
        for one in listen(settings.api_metrics_host, port, "FINETUNED_API_METRICS_PORT"):
            one.close()


def up_settings() -> Settings:
    """Return the operator's settings, with the defaults of `up`."""
    settings = Settings()
    if "gpu_sharing" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"gpu_sharing": services.GPU_SHARING})


async def _add_demo_model(layout: DataLayout, catalogue: Catalogue) -> None:
    wheel = services.demo_model_wheel()
    if wheel is None:
        return
    _print(f"{'model':<10} preparing {DEMO_MODEL} (once) …")
    await asyncio.to_thread(
        add_model,
        wheel,
        catalogue=catalogue,
        models_dir=layout.models,
        model_id=DEMO_MODEL,
        license_id="apache-2.0",
        languages=("en",),
    )


async def _create_first_key(layout: DataLayout, redis_url: str) -> None:
    """Create the first project and admin key once. The key file is written last."""
    if layout.api_key.exists():
        return
    redis = connect(redis_url)
    try:
        projects = Projects(redis)
        with trail.following(Trail(AuditEvent.PROJECT_CREATED, _OPERATOR, project_id="")):
            project = await projects.by_name(_PROJECT) or await projects.create(_PROJECT)
        with trail.following(Trail(AuditEvent.API_KEY_CREATED, _OPERATOR, project_id=project.id)):
            _, secret = await projects.create_key(project, "first admin key", Role.ADMIN)
        write_private(layout.api_key, secret)
    finally:
        await redis.aclose(close_connection_pool=True)


def _print(text: str) -> None:
    with contextlib.suppress(OSError):  # the disk of the output may be full
        print(text, flush=True)


def main(data_dir: Path, host: str, port: int, *, demo_model: bool) -> None:
    """Run `up` in this process."""
    logs.configure("up", "WARNING")
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    asyncio.run(up(data_dir, host, port, demo_model=demo_model))
    sys.stdout.flush()
