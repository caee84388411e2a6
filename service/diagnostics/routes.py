"""Routes of workers, queues, engines and diagnostics, for administrators and auditors."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends

from service import __version__
from service.core import clock, queue
from service.core.storage import Storage
from service.diagnostics.checks import examine
from service.diagnostics.engine_metrics import EngineMetrics
from service.diagnostics.schemas import (
    DiagnosticsObject,
    EngineObject,
    QueueObject,
    WorkerObject,
)
from service.fleet import workers
from service.inference.upstreams import Upstreams
from service.web.deps import AppSettings, Caller, RedisClient, resource
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, list_of

router = APIRouter(prefix="/v1/organization", tags=["Installation"])
Engines = Annotated[Upstreams, Depends(resource("upstreams"))]
InStorage = Annotated[Storage, Depends(resource("storage"))]


@router.get(
    "/workers",
    operation_id="listWorkers",
    summary="List workers",
    openapi_extra=needs(Permission.ORGANIZATION_READ),
)
async def list_workers(redis: RedisClient, _: Caller) -> ListOf[WorkerObject]:
    """List the running workers with their devices and tasks, sorted by name. A worker that has
    stopped disappears at once, one that was killed after 20 seconds.
    """
    alive = await workers.alive(redis)
    return list_of([WorkerObject.from_worker(worker) for worker in alive], has_more=False)


@router.get(
    "/queues",
    operation_id="listQueues",
    summary="List queues",
    openapi_extra=needs(Permission.ORGANIZATION_READ),
)
async def list_queues(redis: RedisClient, _: Caller) -> ListOf[QueueObject]:
    """List the queues of tasks for workers. Jobs reach the queue `gpu` only when a worker is free
    to take them; until then, `GET /v1/fine_tuning/jobs` shows their positions.
    """
    alive = await workers.alive(redis)
    found = []
    for name, kind in queue.WORKERS_OF.items():
        waiting = await queue.waiting(redis, queue.QUEUES[name])
        due_s = waiting.oldest_due_s
        found.append(
            QueueObject(
                id=name,
                workers=sum(kind in worker.queues for worker in alive),
                waiting=waiting.tasks,
                oldest_waiting_at=None if due_s is None else int(due_s),
            )
        )
    return list_of(found, has_more=False)


@router.get(
    "/engines",
    operation_id="listEngines",
    summary="List engines",
    openapi_extra=needs(Permission.ORGANIZATION_READ),
)
async def list_engines(upstreams: Engines, _: Caller) -> ListOf[EngineObject]:
    """List the engines with their health and load. The status is that of the API process that
    answers; the figures are read from the engines, of which each has 3 seconds to answer.
    """
    replicas = upstreams.replicas()
    texts = await asyncio.gather(*(upstreams.read_metrics(each) for _, each, _ in replicas))
    engines = [
        EngineObject.from_replica(*one, EngineMetrics.parse(text or ""))
        for one, text in zip(replicas, texts, strict=True)
    ]
    return list_of(engines, has_more=False)


@router.get(
    "/diagnostics",
    operation_id="getDiagnostics",
    summary="Check the installation",
    openapi_extra=needs(Permission.ORGANIZATION_READ),
)
async def get_diagnostics(
    redis: RedisClient,
    storage: InStorage,
    upstreams: Engines,
    settings: AppSettings,
    _: Caller,
) -> DiagnosticsObject:
    """Run the checks of `finetuned-server doctor` that need no access to a machine: Redis, storage,
    workers, engines and the audit log. Each says what was found and how to fix it.
    """
    findings = await examine(redis, storage, settings, upstreams.ready)
    return DiagnosticsObject.from_findings(findings, now_s=clock.now_s(), version=__version__)
