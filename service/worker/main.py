"""The worker process: one arq worker per queue, in a single event loop.

SIGTERM drains the worker: it takes no new tasks, running trainings save a checkpoint and go back
into the queue, as do evaluation runs, batches and generations, and then the process exits. A second
one changes nothing: systemd sends SIGTERM to each process of `up`, which then stops its worker too.
A second SIGINT ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from service import __version__
from service.audit.sealing_loop import SealingLoop
from service.backup.journal import Journal
from service.config import Settings
from service.core import logs, metrics, outbox, queue, tasks, tracing
from service.core.leases import Leases
from service.core.metric_types import Process
from service.core.redis import REDIS_ERRORS, connect, from_json, to_json, why
from service.core.redis.record_quota import RecordUse
from service.core.redis.time_sync import follow_clock
from service.core.startup_checks import require_redis, require_storage
from service.core.storage import Storage
from service.diagnostics.gpus import require_usable
from service.erasure.deletions import Deletions
from service.erasure.eraser import Eraser
from service.exporting import missing_packages
from service.files.records import Files
from service.fleet import workers
from service.fleet.capacity import measure, own_gpus
from service.fleet.nvml import GpuMonitor
from service.fleet.ray_cluster import require_ray
from service.inference.background.calls import EngineAccess, Resources
from service.inference.chat_load import ChatLoad
from service.inference.upstreams import Upstreams
from service.jobs.attempt.pacing import chat_budget_ms
from service.jobs.attempt.train_task import TrainTask
from service.jobs.dispatch import Dispatcher
from service.jobs.engine_requests import WarmUps, request_warm_up
from service.jobs.records import Jobs
from service.jobs.tracking.tracker import Tracker
from service.models.adapters import load_signing_key
from service.models.catalogue import Catalogue
from service.models.model_folder import classifier_fault
from service.models.registry import ModelRegistry
from service.projects.records import Projects, Quotas
from service.projects.storage_use import StorageUse
from service.usage.meter import Meter
from service.webhooks.deliverer import Deliverer, FanOut
from service.webhooks.records import Webhooks
from service.worker.arq_queue import QueueWorker
from service.worker.gpu_share import limit_trainer_memory, training_capacity
from service.worker.probes import LoopLiveness, serve_probes
from service.worker.queue_tasks import QueueTasks
from service.worker.reconciler import Reconciler

# Poll interval of queues and the outbox: the first user of a new model may ask within a second.
_POLL_S = 0.2
log = logging.getLogger(__name__)
# A training must outlive a Redis outage, so each command is retried for two minutes.
_REDIS_RETRIES = 120
_REDIS_PATIENCE_S = 120.0
_REDIS_TIMEOUT_S = 5.0
_NOTIFY_S = 2.0
# A loop may wait for unavailable storage, and up to two minutes for Redis.
_STALLED_AFTER_S = 300.0


class WorkerProcess:
    """All components of one worker process."""

    def __init__(self, settings: Settings, queues: Sequence[str]) -> None:
        catalogue, machine = Catalogue(settings.models_file), measure()
        settings = limit_trainer_memory(settings, catalogue, machine)
        self._settings = settings
        self._queues = queues
        # On a Ray cluster, trainings use other GPUs.
        self._gpus = GpuMonitor([] if settings.ray_address else own_gpus())
        self._redis = connect(
            settings.redis_url.get_secret_value(),
            retries=_REDIS_RETRIES,
            patience_s=_REDIS_PATIENCE_S,
            timeout_s=_REDIS_TIMEOUT_S,
            max_connections=32,
            process="worker",
        )
        projects = Projects(self._redis)
        quotas = Quotas(projects, settings.default_project_limits, cache_s=settings.lookup_cache_s)
        self._redis.record_use = RecordUse(self._redis, quotas.records)
        storage = Storage.from_url(
            settings.storage_url,
            patience_s=settings.storage_patience_s,
            use=StorageUse(self._redis, quotas.storage),
            reserve_bytes=settings.storage_reserve_bytes,
            master_key=settings.master_key(),
            only_encrypted=settings.encryption_required,
        )
        leases = Leases(self._redis, settings.worker_name, lease_s=settings.lease_s)
        jobs, files = Jobs(self._redis), Files(self._redis, storage)
        registry = ModelRegistry(
            self._redis, catalogue, cache_s=0, signer=load_signing_key(settings.signing_key_file)
        )
        deletions = Deletions(
            self._redis, storage, settings.signing_key, has_journal=settings.journal_every_s > 0
        )
        eraser = Eraser(files, jobs, registry, deletions)
        self._dispatcher = Dispatcher(jobs, self._redis, settings)
        self._presence = workers.Presence(
            self._redis,
            workers.Worker(
                name=settings.worker_name,
                queues=tuple(queues),
                makes_gguf=not missing_packages(),
                version=__version__,
                **training_capacity(machine, settings).model_dump(),
            ),
            self._current,
        )
        self._upstreams = Upstreams.from_settings(settings)
        self._meter = Meter.from_settings(self._redis, settings)
        access = EngineAccess(
            projects=projects,
            registry=registry,
            upstreams=self._upstreams,
            meter=self._meter,
            settings=settings,
        )
        self._chats = ChatLoad()
        resources = Resources(files, registry, storage, leases, settings, access)
        train = TrainTask(
            jobs,
            resources,
            presence=self._presence,
            dispatcher=self._dispatcher,
            upstreams=self._upstreams,
            chats=self._chats,
            gpus=self._gpus,
        )
        self._tasks = QueueTasks(
            resources,
            jobs,
            train=train,
            eraser=eraser,
            dispatcher=self._dispatcher,
        )
        self._liveness = LoopLiveness(patience_s=settings.storage_patience_s + _STALLED_AFTER_S)
        self._reconciler = Reconciler(
            self._redis,
            jobs,
            files,
            leases,
            settings,
            self._dispatcher,
            eraser,
            on_step=lambda: self._liveness.beat("reconciler"),
        )
        self._webhooks = Deliverer(
            self._redis, leases, settings, on_round=lambda: self._liveness.beat("webhooks")
        )
        self._warm_ups = WarmUps(
            jobs,
            leases,
            self._upstreams,
            settings,
            on_round=lambda: self._liveness.beat("warm-ups"),
        )
        self._tracker = Tracker(
            jobs, leases, settings, on_round=lambda: self._liveness.beat("tracking")
        )
        self._event_readers: list[outbox.Reader] = [FanOut(Webhooks(self._redis)), request_warm_up]
        self._journal = Journal(
            self._redis,
            settings.redis_url.get_secret_value(),
            storage,
            every_s=settings.journal_every_s,
            on_round=lambda: self._liveness.beat("journal"),
        )
        self._audit = SealingLoop(
            self._redis, storage, settings, on_round=lambda: self._liveness.beat("audit log")
        )
        self._arq_workers: dict[str, QueueWorker] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT.

        Raises an ExceptionGroup if a background loop ends.
        """
        metrics.begin(Process.WORKER, __version__)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        self._arq_workers = arq_workers = {
            name: self._arq_worker(name)
            for name, workers_ in queue.WORKERS_OF.items()
            if workers_ in self._queues
        }
        async with (
            serve_probes(self._redis, self._settings, self._liveness, self._gpus),
            self._upstreams,
            self._meter,
            follow_clock(self._redis),
            asyncio.TaskGroup() as group,
        ):
            background = [
                group.create_task(_run_endless(loop, run), name=loop)
                for loop, run in self._loops(arq_workers).items()
            ]
            log.info(
                "worker %s takes: %s",
                self._settings.worker_name,
                ", ".join(self._queues),
            )
            await self._stopping.wait()
            await self._drain(list(arq_workers.values()))
            await asyncio.gather(*map(tasks.end, background), return_exceptions=True)
            # Tasks that took too long, or that a poll in progress has started.
            if left := _running(arq_workers.values()):
                for task in left:
                    task.cancel()
                await asyncio.wait(left, timeout=_NOTIFY_S)
        await _notify_exit(workers.leave(self._redis, self._settings.worker_name))
        await self._redis.aclose(close_connection_pool=True)

    def _loops(
        self, arq_workers: Mapping[str, QueueWorker]
    ) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the background loops of the worker's queues, by name."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            f"queue {name}": worker.run_forever for name, worker in arq_workers.items()
        }
        loops |= {"reconciler": self._reconciler.run, "presence": self._announce}
        if "gpu" in self._queues and chat_budget_ms(self._settings):
            loops["reports of chats"] = lambda: self._chats.listen(self._redis)
        if "cpu" in self._queues:
            loops |= {
                "outbox": self._read_outbox,
                "webhooks": self._webhooks.run,
                "warm-ups": self._warm_ups.run,
                "tracking": self._tracker.run,
                "audit log": self._audit.run,
            }
            if self._settings.journal_every_s:
                loops["journal"] = self._journal.run
        return loops

    def _arq_worker(self, name: str) -> QueueWorker:
        slots = {
            "cpu": self._settings.cpu_tasks,
            "gpu": 1,
            "evals": self._settings.eval_runs_at_once,
            "batches": self._settings.batches_at_once,
        }
        return QueueWorker(
            on_poll=lambda: self._liveness.beat(f"queue {name}"),
            functions=self._tasks.functions(name),
            queue_name=queue.QUEUES[name],
            redis_pool=self._redis,
            may_take=self._tasks.train.can_run if name == "gpu" else None,
            handle_signals=False,
            max_jobs=slots[name],
            job_timeout=queue.TASK_TIMEOUT_S,
            keep_result=0,
            poll_delay=_POLL_S,
            health_check_interval=10,
            job_serializer=to_json,
            job_deserializer=from_json,
            log_results=False,
        )

    def stop(self) -> None:
        """Drain and exit, as SIGTERM does."""
        self._stopping.set()

    async def _read_outbox(self) -> None:
        """Hand new events to their readers. Rounds in which Redis is unavailable are skipped."""
        while True:
            self._liveness.beat("outbox")
            try:
                if await outbox.process(self._redis, self._event_readers):
                    self._webhooks.wake()
                    self._warm_ups.wake()
            except REDIS_ERRORS as e:
                log.warning("Redis is unavailable, events are delayed: %s", why(e))
            await asyncio.sleep(_POLL_S)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            if number == signal.SIGINT:
                log.warning("second SIGINT: exiting at once")
                raise SystemExit(1)
            return
        log.info("draining: running jobs and evaluations return to their queues")
        self.stop()

    async def _drain(self, arq_workers: Sequence[QueueWorker]) -> None:
        self._tasks.drain()
        for worker in arq_workers:
            worker.allow_pick_jobs = False
        await _notify_exit(self._presence.stop_taking())
        await self._webhooks.drain()
        if running := _running(arq_workers):
            # The trainer has its own grace period, and uploading its checkpoint takes additional
            # time.
            await asyncio.wait(running, timeout=2 * self._settings.stop_grace_s)

    async def _announce(self) -> None:
        await self._presence.announce()
        await self._dispatcher.dispatch()  # so that a new worker gets work at once
        while True:
            self._liveness.beat("presence")
            await asyncio.sleep(workers.HEARTBEAT_S)
            await self._gpus.observe()
            await self._presence.announce()

    def _current(self) -> dict[str, object]:
        """Return the fields of the worker's announcement that change without an event."""
        running = [t for worker in self._arq_workers.values() for t in worker.tasks]
        used = [int(value) for _, value in metrics.GPU_MEMORY_USED_BYTES.values()]
        found: dict[str, object] = {"tasks": tuple(running)}
        found["memory_used_bytes"] = tuple(used) or None
        if "gpu" in self._queues and (fault := self._gpus.fault) is not None:
            found |= {"fault": fault, "busy": True}
        return found


def _running(arq_workers: Iterable[QueueWorker]) -> list[asyncio.Task[Any]]:
    return [t for worker in arq_workers for t in worker.tasks.values() if not t.done()]


async def _notify_exit(notification: Awaitable[None]) -> None:
    """Notify Redis on shutdown, without letting an unavailable Redis delay the exit."""
    with contextlib.suppress(TimeoutError, *REDIS_ERRORS):
        async with asyncio.timeout(_NOTIFY_S):
            await notification


async def _run_endless(loop: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that survives its own errors. If it ends anyway, raises RuntimeError."""
    await tasks.keep(loop, run)
    raise RuntimeError(f"the loop '{loop}' has ended")


def main(queues: Sequence[str]) -> None:
    """Run a worker on the given queues until it is asked to stop."""
    settings = Settings()
    logs.configure("worker", settings.log_level)
    logging.getLogger("arq").setLevel(logging.WARNING)
    tracing.start("worker", __version__)
    if "gpu" in queues:
        require_ray(settings)
        if settings.ray_address is None:
            require_usable()
    classifier = settings.personal_data_model
    if "cpu" in queues and classifier and (fault := classifier_fault(classifier)):
        sys.exit(f"finetuned-server: FINETUNED_PERSONAL_DATA_MODEL: {fault}")
    require_storage(settings.storage_url, settings.master_key)
    require_redis(settings.redis_url.get_secret_value(), settings.redis_check)
    runner = asyncio.Runner()
    runner.run(_main(settings, queues))
    # Not closed, because that waits for the remaining tasks. They never end without Redis, since
    # arq first removes them from their queues. The caller exits next, and the trainers with it.


async def _main(settings: Settings, queues: Sequence[str]) -> None:
    await WorkerProcess(settings, queues).run()
