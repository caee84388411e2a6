"""Routes under `/v1/fine_tuning`: create, estimate, list, watch, cancel, pause, resume jobs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from service.core import clock, ids, queue
from service.core.claims import Claim
from service.core.errors import BadRequest, Conflict, NotFound
from service.core.redis import REDIS_ERRORS
from service.files.records import Files
from service.jobs import lifecycle
from service.jobs.create import build_job, create
from service.jobs.dispatch import Dispatcher
from service.jobs.event_stream import JobChanges, server_sent_events
from service.jobs.metric_series import METRIC_NAMES, Point, Series, divide, points_of, read_rows
from service.jobs.planning.job_plan import EstimateObject, estimate
from service.jobs.records import JobRecord, Jobs, NewEvent, Status
from service.jobs.schemas.create import CreateJob
from service.jobs.schemas.jobs import (
    CheckpointObject,
    EventObject,
    JobMetricsObject,
    JobObject,
    MetricSeriesObject,
)
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import AppSettings, Caller, RedisClient, caller_check, list_query, resource
from service.web.filters import CountedList, ListFilter, by_status, counted_list, find
from service.web.idempotency import comparable, create_once
from service.web.openapi.parts import headers, stream_of
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Paging, Resource, list_of, paging

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["Fine-tuning"])
estimates = APIRouter(prefix="/v1/fine_tuning", tags=["Fine-tuning"])
_EVENT_ID = re.compile(r"ftevent-[0-9]{1,20}-[0-9]{1,20}")
_METADATA_FILTER = re.compile(r"metadata\[(.{1,64})\]")
_METADATA = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "description": "Metadata pairs that a job must all have, such as `metadata[team]=support`.",
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    "example": {"team": "support"},
}


Store = Annotated[Jobs, Depends(resource("jobs"))]
Changes = Annotated[JobChanges, Depends(resource("job_changes"))]
FileStore = Annotated[Files, Depends(resource("files"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]
Dispatch = Annotated[Dispatcher, Depends(resource("dispatcher"))]
CheckpointPaging = Annotated[Paging, paging(default=10)]


class _Jobs(Resource):
    def not_found(self, id_: str) -> NotFound:
        # OpenAI's words
        return NotFound(f"Could not find fine tune: {id_[:80]}", param="fine_tuning_job_id")


CHECKPOINT = Resource("checkpoint")
EVENT = Resource("event")
JOB = _Jobs("job")


async def existing(store: Jobs, project_id: str, job_id: str) -> JobRecord:
    """Return the project's job. Raises NotFound if it does not exist."""
    return JOB.get_or_404(await store.get(project_id, job_id), job_id)


@estimates.post(
    "/estimate",
    operation_id="estimateFineTuningJob",
    summary="Estimate a fine-tuning job",
    responses={409: {"headers": headers("retry-after")}},
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def estimate_job(
    body: CreateJob,
    caller: Caller,
    files: FileStore,
    registry: Registry,
    settings: AppSettings,
    redis: RedisClient,
) -> EstimateObject:
    """Estimate a job from the request body for creating one, without creating it.

    The estimate includes the value chosen for every `auto` and the reason for it, the number of
    steps and tokens, the peak memory, whether the job fits the online workers, and its duration.

    A job that would fail because of its files is rejected with the same error. While a file is
    still being checked or measured, the response is 409 with the code `not_ready`; retry
    after `retry-after` seconds.
    """
    job, entry = await build_job(body, caller, files, registry, settings)
    return await estimate(job, entry, redis=redis, files=files, settings=settings)


@router.post(
    "",
    operation_id="createFineTuningJob",
    summary="Create a fine-tuning job",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.JOB_CREATED),
)
async def create_job(
    body: CreateJob,
    caller: Caller,
    store: Store,
    files: FileStore,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> JobObject:
    """Create a fine-tuning job. The service validates its files, then queues it for a GPU worker.

    The status goes from `validating_files` to `queued`, to `running`, and finally to `succeeded`,
    `failed` or `cancelled`. Follow the training through the job's events. When the job succeeds,
    `fine_tuned_model` is the model name to use in inference requests.

    Only `model` and `training_file` are required. Set hyperparameters in `method`, or at the top
    level as in older SDKs. The service chooses a value for each `auto` from the data, and events
    give the reasons.
    """

    async def make(claim: Claim[JobRecord]) -> JobRecord:
        job = await create(
            body,
            caller,
            jobs=store,
            files=files,
            registry=registry,
            settings=settings,
            claim=claim,
        )
        with queue.left_to_the_reconciler():
            await queue.enqueue(
                store.redis, queue.CPU, "prepare_job", job.project_id, job.id, job.attempt
            )
        return job

    raw = comparable(body)
    return await create_once(JobObject, store.redis, caller.project_id, idempotency_key, raw, make)


@router.get(
    "",
    operation_id="listFineTuningJobs",
    summary="List fine-tuning jobs",
    openapi_extra=needs(Permission.FINE_TUNING_READ, parameters=[_METADATA]),
)
async def list_jobs(
    request: Request,
    caller: Caller,
    store: Store,
    dispatcher: Dispatch,
    paging: Paged,
    wanted: Annotated[ListFilter, by_status(Status)],
    file: Annotated[
        str | None, Query(max_length=128, description="ID of a file that the jobs read.")
    ] = None,
) -> CountedList[JobObject]:
    """List the project's jobs, newest first. Filter by metadata with `metadata[key]=value`, or use
    `metadata=null` for jobs without metadata.
    """
    metadata = _metadata_of(request)
    if wanted.is_set or file is not None:
        found = await JOB.read(
            find(
                store.records,
                caller.project_id,
                wanted,
                paging,
                texts=("model", "suffix", "fine_tuned_model", "training_file"),
                fields=("metadata", "validation_file", "mixed_files"),
                also=lambda job: (
                    _has_metadata(job.metadata, metadata) and (file is None or _reads(job, file))
                ),
            )
        )
        return counted_list(await _with_positions(dispatcher, found.items), found)
    page = await JOB.read(
        store.page(caller.project_id, after=paging.after, limit=paging.limit, metadata=metadata)
    )
    return counted_list(await _with_positions(dispatcher, page.items), page)


@router.get(
    "/{job_id}",
    operation_id="getFineTuningJob",
    summary="Retrieve a job",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def retrieve_job(
    job_id: str, caller: Caller, store: Store, dispatcher: Dispatch
) -> JobObject:
    """Retrieve the current state of a job: its status, hyperparameters, queue position, and the
    fine-tuned model or the error.
    """
    job = await existing(store, caller.project_id, job_id)
    return (await _with_positions(dispatcher, [job]))[0]


@router.post(
    "/{job_id}/cancel",
    operation_id="cancelFineTuningJob",
    summary="Cancel a job",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.JOB_CANCELLED),
)
async def cancel_job(job_id: str, caller: Caller, store: Store, dispatcher: Dispatch) -> JobObject:
    """Cancel a job permanently. A running trainer stops within seconds. Existing checkpoints are
    kept. Returns 409 if the job has already ended.
    """
    job = await _change_status(
        store,
        dispatcher,
        caller.project_id,
        job_id,
        lambda job: lifecycle.cancel(job, clock.now_s()),
        lambda _: NewEvent(message="The job was cancelled", data={"code": "cancelled"}),
    )
    return JobObject.from_record(job)


@router.post(
    "/{job_id}/pause",
    operation_id="pauseFineTuningJob",
    summary="Pause a job",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.JOB_PAUSED),
)
async def pause_job(job_id: str, caller: Caller, store: Store, dispatcher: Dispatch) -> JobObject:
    """Pause a queued or running job and keep its progress in a checkpoint. `resume` continues from
    that checkpoint.

    A queued job becomes `paused` immediately. A running job stays `running` with `pausing` set
    until its checkpoint is stored, and then becomes `paused`. If its training finishes first, the
    job succeeds. Returns 409 if the job is pausing, is paused, has ended, or is still validating
    its files.
    """
    job = await _change_status(
        store, dispatcher, caller.project_id, job_id, lifecycle.pause, _pause_event
    )
    return JobObject.from_record(job)


@router.post(
    "/{job_id}/resume",
    operation_id="resumeFineTuningJob",
    summary="Resume a job",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.JOB_RESUMED),
)
async def resume_job(job_id: str, caller: Caller, store: Store, dispatcher: Dispatch) -> JobObject:
    """Resume a paused job: it is queued again and continues from its latest checkpoint. A job that
    is still pausing also continues, without losing a step. Returns 409 if the job is neither paused
    nor pausing.
    """
    job = await _change_status(
        store,
        dispatcher,
        caller.project_id,
        job_id,
        lambda job: lifecycle.resume(job, clock.now_s()),
        lambda _: NewEvent(message="The job was resumed", data={"code": "resumed"}),
    )
    try:
        return (await _with_positions(dispatcher, [job]))[0]
    except REDIS_ERRORS:
        return JobObject.from_record(
            job
        )  # it is resumed; only its position in the queue is not known


@router.get(
    "/{job_id}/events",
    operation_id="listFineTuningJobEvents",
    summary="List job events",
    response_model=ListOf[EventObject],
    responses={
        200: {
            "description": "A page of events or, if `stream` is true, a live stream of all events.",
            "content": stream_of(EventObject),
        }
    },
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def list_events(
    request: Request,
    job_id: str,
    caller: Caller,
    store: Store,
    changes: Changes,
    paging: Paged,
    stream: Annotated[
        bool, Query(description="Whether to stream the events as server-sent events.")
    ] = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Any:
    """List the events of a job, newest first: messages and metrics of training steps.

    With `stream=true`, the response is a stream of server-sent events, oldest first, that stays
    open until the job ends. Each event has an `id:` line, an `event:` line and one `data:` line
    with a `FineTuningJobEvent`. The stream ends with `data: [DONE]`. A disconnected client
    continues by sending `Last-Event-ID`. If the API key is revoked, the stream ends with an error.
    """
    job = await existing(store, caller.project_id, job_id)
    cursor = last_event_id if stream and last_event_id else paging.after
    if cursor is not None and not _EVENT_ID.fullmatch(cursor):
        raise EVENT.unknown_after()
    if stream:
        return StreamingResponse(
            server_sent_events(
                store, changes, job.project_id, job.id, cursor, caller_check(request)
            ),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )
    events, has_more = await store.events_before(job.project_id, job.id, cursor, paging.limit)
    return list_of([EventObject.from_record(e) for e in events], has_more)


@router.get(
    "/{job_id}/metrics",
    operation_id="getFineTuningJobMetrics",
    summary="Retrieve the metrics of a job",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def get_metrics(
    job_id: str,
    caller: Caller,
    store: Store,
    files: FileStore,
    names: Annotated[
        frozenset[str] | None,
        list_query(
            Annotated[str, Query(max_length=64)],
            "metrics",
            "Names of the metrics to return, such as `train_loss`. By default, all.",
        ),
    ],
    buckets: Annotated[
        int, Query(ge=1, le=5000, description="Maximum number of buckets of each metric.")
    ] = 500,
    from_step: Annotated[
        int | None, Query(ge=0, description="First step of the range. By default, the first.")
    ] = None,
    to_step: Annotated[
        int | None, Query(ge=0, description="Last step of the range. By default, the last.")
    ] = None,
) -> JobMetricsObject:
    """Retrieve the metrics of a job by step, for a chart of a training of any length: the lowest,
    highest, mean and last value of each metric in each bucket, so that no spike is lost. Set
    `from_step` and `to_step` to look closer.

    Jobs of at least 4,000 steps store the values of about 2,000 steps, with the extremes between
    them. `FINETUNED_METRICS_KEPT_DAYS` after its end, a job has only the metrics in its result
    file.
    """
    if unknown := sorted((names or frozenset()) - METRIC_NAMES.keys()):
        raise BadRequest(
            f"There is no metric '{unknown[0]}'. Known are: {', '.join(METRIC_NAMES)}.",
            param="metrics",
        )
    job = await existing(store, caller.project_id, job_id)
    rows = await read_rows(store, files, job)
    wanted = [name for name in METRIC_NAMES if names is None or name in names]

    def divided() -> tuple[list[Point], int, dict[str, Series]]:
        points = points_of(rows, frozenset(wanted), from_step=from_step, to_step=to_step)
        return points, *divide(points, buckets, wanted)

    points, width, series = await asyncio.to_thread(divided)
    return JobMetricsObject(
        job_id=job.id,
        first_step=points[0].step if points else None,
        last_step=points[-1].step if points else None,
        steps_per_bucket=width,
        metrics={name: MetricSeriesObject.from_series(one) for name, one in series.items()},
    )


@router.get(
    "/{job_id}/checkpoints",
    operation_id="listFineTuningJobCheckpoints",
    summary="List checkpoints",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def list_checkpoints(
    job_id: str, caller: Caller, store: Store, paging: CheckpointPaging
) -> ListOf[CheckpointObject]:
    """List the checkpoints of a job, newest first, with their metrics. To use a checkpoint in
    inference requests, pass its `fine_tuned_model_checkpoint` as the model name.
    """
    job = await existing(store, caller.project_id, job_id)
    page = store.checkpoints(job.id).page(job.project_id, **paging.bounds)
    return await CHECKPOINT.list(page, CheckpointObject.from_record)


async def _change_status(
    store: Jobs,
    dispatcher: Dispatcher,
    project_id: str,
    job_id: str,
    change: Callable[[JobRecord], JobRecord],
    event: Callable[[JobRecord], NewEvent],
) -> JobRecord:
    """Change a job's status with an event, and dispatch. Raises NotFound or Conflict."""
    if not ids.is_valid(job_id, ids.JOB):
        raise JOB.not_found(job_id)
    try:
        with JOB.existing(job_id):
            job = await store.change(project_id, job_id, change, events=lambda job: [event(job)])
    except lifecycle.NotAllowed as e:
        raise Conflict(
            f"The job {job_id} is {e.state} and cannot {e.action}.",
        ) from e
    with queue.left_to_the_reconciler():
        await dispatcher.dispatch()
    return job


def _pause_event(job: JobRecord) -> NewEvent:
    if job.pausing:
        text = "The job is pausing: its trainer saves a checkpoint and stops"
        return NewEvent(message=text, data={"code": "pausing"})
    return NewEvent(message="The job was paused", data={"code": "paused"})


async def _with_positions(dispatcher: Dispatcher, jobs: list[JobRecord]) -> list[JobObject]:
    """Build the API objects of the jobs, with their queue positions."""
    positions = await dispatcher.positions(jobs)
    return [JobObject.from_record(job, positions.get(job.id)) for job in jobs]


def _reads(job: Any, file: str) -> bool:
    mixed = (one["file"] for one in job.mixed_files or ())
    return file in (job.training_file, job.validation_file, *mixed)


def _has_metadata(found: dict[str, str] | None, wanted: dict[str, str] | None) -> bool:
    """Return whether a job's metadata has these pairs; for None, whether it has none."""
    return not found if wanted is None else wanted.items() <= (found or {}).items()


def _metadata_of(request: Request) -> dict[str, str] | None:
    """Return the metadata pairs to filter by; None for jobs without metadata."""
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    # OpenAI's SDK for Node writes `metadata=` for null.
    if ("metadata", "null") in pairs or ("metadata", "") in pairs:
        return None
    return {match[1]: value for name, value in pairs if (match := _METADATA_FILTER.fullmatch(name))}
