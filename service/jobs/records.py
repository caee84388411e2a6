"""Redis records of jobs, their events and their checkpoints.

    finetuned:{project}:jobs:{id}               the job
    finetuned:{project}:events:{id}             a stream of its events
    finetuned:{project}:checkpoints:{id}:{ckpt} its checkpoints
    finetuned:jobs-active                       "project/job" of all jobs without a final status
    finetuned:jobs-with-metrics                 "project/job" of ended jobs whose metrics are in
                                                their events, scored by when they ended

A job that has ended is noted in `leftovers` until its storage holds only what is served.

A change to a job and its events are one transaction. The writes of an attempt are fenced: they
succeed only while the record names that attempt.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import starmap
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from redis.asyncio.client import Pipeline

from service.core import clock, ids, invalidation, outbox
from service.core.claims import Claim
from service.core.outbox import Event
from service.core.records import PREFIX, Collection, Labels, Page, Record, Stored, parse_known
from service.core.redis import Client, batched, reply
from service.core.redis.transactions import Write, commit
from service.core.storage.leftovers import Leftovers
from service.jobs.tracking.records import MlflowRun, TrackedRuns
from service.training.contract.hyperparameters import REQUESTED, RESOLVED, Requested, Resolved
from service.training.contract.methods import MethodName
from service.training.contract.spec import Sharding
from service.work.records import AttemptedRecord

ACTIVE = f"{PREFIX}:jobs-active"
WITH_METRICS = f"{PREFIX}:jobs-with-metrics"
_MAX_EVENTS = 20_000
_PAGE = 500
_METRICS_PAGE = 5000
_NO_METADATA = "none"


class MemorySettings(NamedTuple):
    """Memory settings of a training.

    `tokens_at_once` is the number of tokens in the model at a time, and `inputs_on_host` whether
    inputs of layers are in the machine's memory until their backward pass. `sharding` is None for
    one GPU. With gradient checkpointing, the last `kept_layers` keep their activations.
    """

    tokens_at_once: int | None = None
    gradient_checkpointing: bool = False
    inputs_on_host: bool = False
    sharding: Sharding | None = None
    kept_layers: int = 0


class Status(StrEnum):
    """Status of a job."""

    VALIDATING = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class JobFailure(Stored):
    """Reason why a job failed, as shown in the API."""

    code: str
    message: str
    param: str | None = None


class MixedFile(Stored):
    """A file that is mixed with the training file of a job.

    `weight` is how often each of its rows is drawn per epoch.
    """

    file: str
    weight: float


class ReplayFinding(Stored):
    """A difference between what is recorded of a training and what a replay found."""

    code: Literal[
        "adapter_changed",  # the stored adapter is not the registered one
        "spec_changed",  # the job's record has other settings than the adapter's passport
        "rows_changed",  # a file has other rows than those that were trained on
        "metrics_changed",  # the job's metrics differ from the steps that the trainer wrote
        "state_refused",  # a kept state is damaged, or of another run
        "step_differs",  # a step has another loss or gradient
        "checkpoint_differs",  # the steps lead to another adapter
    ]
    message: str


class ReplayedWindow(Stored):
    """Steps that were computed again. Errors are the largest relative differences.

    `weights_error` is relative to the change of the weights in these steps. It is None if they do
    not end at weights that are stored.
    """

    first_step: int
    last_step: int
    loss_error: float
    gradient_error: float
    weights_error: float | None = None


class ReplayRecord(Stored):
    """Result of one replay of a job's training.

    `rows_gone`: files were deleted since, so that no step could be computed again; `findings`
    cover the rest. `is_same_machine` is whether it has the device and the library versions of the
    training, which makes any difference on a CPU a finding.

    The window that leads to the adapter is always computed. Of the others, `seed` draws `drawn`; it
    comes from the system's randomness unless `is_repetition`. With `steps`, only as many steps of
    each are computed.
    """

    created_at: int
    outcome: Literal["equal", "within_tolerance", "different", "rows_gone"]
    model: str
    digest: str  # of the model's folder
    seed: str
    is_repetition: bool = False
    steps: int | None = None
    total_windows: int = 0
    drawn: int = 0
    findings: tuple[ReplayFinding, ...] = ()
    windows: tuple[ReplayedWindow, ...] = ()
    gone_files: tuple[str, ...] = ()
    is_same_machine: bool
    machine: dict[str, Any]
    libraries: dict[str, str]
    seconds: float


class JobRecord(AttemptedRecord):
    """A fine-tuning job."""

    project_name: str
    model: str
    training_file: str
    validation_file: str | None
    mixed_files: tuple[MixedFile, ...] = ()
    suffix: str | None
    seed: int
    metadata: dict[str, str] | None
    method: MethodName = "supervised"
    grader: dict[str, Any] | None = None  # of the method reinforcement
    hyperparameters: Requested  # without `auto` once the job is prepared, see `resolved`
    model_tag: str  # last part of the model's name, chosen at creation
    status: Status = Status.VALIDATING
    error: JobFailure | None = None
    fine_tuned_model: str | None = None
    adapter: str | None = None  # folder of its result in storage; None in older records
    result_files: tuple[str, ...] = ()
    trained_tokens: int | None = None
    estimated_finish: int | None = None
    queued_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    pausing: bool = False  # pause requested, but the worker has not released the job yet
    fruitless_attempts: int = 0  # attempts lost since the last checkpoint
    priority: int = 0  # higher runs first
    key_id: str = ""  # the key that created the job, for usage; empty in older records
    created_by: str = ""  # see `Principal.identity`; empty in older records
    gate: dict[str, str] = Field(default_factory=dict)  # conditions on the job's evaluation, by key
    baseline_prompt: str | None = None  # the user's, which the evaluation compares with the model
    mlflow_run: MlflowRun | None = None  # receives the metrics
    replays: tuple[ReplayRecord, ...] = ()  # the last ones, oldest first
    trace: dict[str, str] | None = None  # context of the creating request, see core/tracing.py
    # Memory settings of the training. They do not change its result.
    tokens_at_once: int | None = None
    gradient_checkpointing: bool = False
    inputs_on_host: bool = False  # of layers, until their backward pass
    sharding: Sharding | None = None  # as planned, if the worker has several GPUs
    kept_layers: int = 0  # the last ones, which gradient checkpointing leaves out
    longest_row: int | None = None  # in tokens, of the training file; None if unknown
    awaits_memory: bool = False  # an event says that no online worker has enough memory
    awaits_model: bool = False  # an event says that the base model's files are not complete
    memory_retries: int = 0  # attempts that ran out of memory and were retried with a smaller plan
    # Half of the held-out rows are not used to choose a checkpoint. False in older
    # records, also of jobs that chose by all held-out rows.
    keeps_test_rows: bool = False

    @field_validator("hyperparameters", mode="before")
    @classmethod
    def _of_the_method(cls, value: Any, info: ValidationInfo) -> Any:
        method = info.data.get("method")
        if method is None or isinstance(value, BaseModel):
            return value
        return REQUESTED[method].model_validate(value, extra="ignore")

    @property
    def is_final(self) -> bool:
        """Whether the job has a final status."""
        return self.status in FINAL

    @property
    def files(self) -> tuple[str, ...]:
        """IDs of all files that the job reads."""
        mixed = (mixed.file for mixed in self.mixed_files)
        validation = () if self.validation_file is None else (self.validation_file,)
        return (self.training_file, *mixed, *validation)

    @property
    def chose_by_test_rows(self) -> bool:
        """Whether the rows that judge the model also chose its checkpoint."""
        return self.hyperparameters.selects and not self.keeps_test_rows

    @property
    def resolved(self) -> Resolved:
        """Hyperparameters of a prepared job. Raises ValidationError if one is still `auto`."""
        return RESOLVED[self.method].model_validate(self.hyperparameters.model_dump())

    @property
    def memory_settings(self) -> MemorySettings:
        """Settings that change the memory use of the training, but not its result."""
        return MemorySettings(
            self.tokens_at_once,
            self.gradient_checkpointing,
            self.inputs_on_host,
            self.sharding,
            self.kept_layers,
        )

    @property
    def template_date(self) -> date:
        """Date for chat templates that print one.

        It is the same in every attempt, because a checkpoint depends on the rendered text.
        """
        return datetime.fromtimestamp(self.created_at, UTC).date()


class UnfinishedJob(msgspec.Struct, frozen=True):
    """The fields of a job's record that scheduling reads.

    Decoding them takes 2 µs; a JobRecord takes 80 µs.
    """

    id: str
    project_id: str
    created_at: int
    status: Status
    attempt: int = 1
    priority: int = 0
    queued_at: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether the job has a final status."""
        return self.status in FINAL


class EventRecord(_Value):
    """A job event, whose ID is its position in the Redis stream."""

    id: str
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any] = {}


class CheckpointRecord(Record):
    """A checkpoint: an adapter that can be served and the trainer state to resume from."""

    job_id: str
    attempt: int
    step: int
    model: str
    adapter: str  # folder in storage
    state: str  # folder in storage
    metrics: Mapping[str, float | None]


EVENT_CODES: Final = frozenset(
    {"created", "validating", "validated", "no_held_out_rows", "started", "restarted", "pausing"}
    | {"paused", "resumed", "cancelled", "stopped", "drained", "requeued"}
    | {"attempt_lost", "awaits_memory", "awaits_model", "model_created"}
    | {"completed", "gpu_failed", "gpu_unavailable"}
    | {"serve_parity", "memory", "gradient_checkpointing", "inputs_on_host", "sharding", "setting"}
)
"""Codes of events that clients can word, in `data.code`. Their figures are in `data`, too."""


class NewEvent(_Value):
    """An event that is not stored yet."""

    message: str
    level: Literal["info", "warn", "error"] = "info"
    type: Literal["message", "metrics"] = "message"
    data: dict[str, Any] = {}


class _MetricsEvent(msgspec.Struct, frozen=True):
    data: dict[str, Any]


_decode = msgspec.json.Decoder(UnfinishedJob).decode
_decode_metrics = msgspec.json.Decoder(_MetricsEvent).decode
_IS_METRICS = b'"type":"metrics"'
Change = Callable[[JobRecord], JobRecord]
Events = Callable[[JobRecord], Sequence[NewEvent]]


class Jobs:
    """The store of all jobs, by project."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "jobs", JobRecord)
        self._labels = Labels(self.records, _labels_of)
        self._tracked_runs = TrackedRuns(redis)

    def checkpoints(self, job_id: str) -> Collection[CheckpointRecord]:
        """Return the checkpoint collection of a job."""
        return Collection(self.redis, f"checkpoints:{job_id}", CheckpointRecord)

    async def create(
        self, job: JobRecord, *events: NewEvent, claim: Claim[JobRecord] | None = None
    ) -> JobRecord:
        """Store a new job with its first events. Raises ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            pipe.sadd(ACTIVE, _member(job))
            self._labels.add(pipe, job)
            if job.mlflow_run is not None:
                self._tracked_runs.add(pipe, job.project_id, job.id, job.created_at)
            self.add_events(pipe, job.project_id, job.id, events)
            claim.settle(pipe, job)

        return await self.records.create(job, also=also, check=claim.check)

    async def get(self, project_id: str, job_id: str) -> JobRecord | None:
        """Return the project's job with this ID, or None."""
        if not ids.is_valid(job_id, ids.JOB):
            return None
        return await self.records.get(project_id, job_id)

    async def page(
        self,
        project_id: str,
        *,
        after: str | None,
        limit: int,
        metadata: Mapping[str, str] | None = MappingProxyType({}),
    ) -> Page[JobRecord]:
        """Return a page of the project's jobs, newest first. Raises Missing if `after` is unknown.

        The jobs have all pairs of `metadata`, or no metadata if it is None.
        """
        labels = [_NO_METADATA] if metadata is None else list(starmap(_label, metadata.items()))
        return await self._labels.page(project_id, labels, after=after, limit=limit)

    async def change(
        self,
        project_id: str,
        job_id: str,
        change: Change,
        events: Events = lambda _: (),
        also: Callable[[Pipeline], None] = lambda _: None,
    ) -> JobRecord:
        """Change a job and add its events atomically. Exceptions of `change` propagate.

        Every change of a job's record goes through this method. A change to a final status also
        writes the end of the job to the outbox.
        """
        was_final = False
        leftovers = Leftovers(self.redis, "jobs")

        def noting(job: JobRecord) -> JobRecord:
            nonlocal was_final
            was_final = job.is_final
            return change(job)

        def together(pipe: Pipeline, job: JobRecord) -> None:
            if job.is_final:
                pipe.srem(ACTIVE, _member(job))
                if not was_final:
                    outbox.add(pipe, _end_of(job))
                    leftovers.note(pipe, _member(job), clock.now_s())
                    pipe.zadd(WITH_METRICS, {_member(job): clock.now_s()})
            new = events(job)
            self.add_events(pipe, job.project_id, job.id, new)
            if job.is_final and not was_final and not new:
                self._announce(pipe, job.project_id, job.id)
            also(pipe)

        return await self.records.update(project_id, job_id, noting, also=together)

    async def active(self) -> list[tuple[str, str]]:
        """Return the (project, job) IDs of every job without a final status."""
        members = await reply(self.redis.smembers(ACTIVE))
        pairs = (m.decode().split("/", 1) for m in members)
        return sorted((project, job) for project, job in pairs)

    async def unfinished(self, project_id: str | None = None) -> list[UnfinishedJob]:
        """Return every job without a final status, of one project or of all.

        Jobs whose status only a newer version can read are left out: that version handles them.
        """
        active = [pair for pair in await self.active() if project_id in (None, pair[0])]
        jobs: list[UnfinishedJob] = []
        for some in batched(active, _PAGE):
            found = await self.redis.mget([self.records.key(*pair) for pair in some])
            jobs += _unfinished((job for _, job in some), found)
        return jobs

    async def needing(self, project_id: str, file_id: str) -> list[str]:
        """Return the IDs of the project's unfinished jobs that read a file."""
        active = [job for project, job in await self.active() if project == project_id]
        return [
            job.id
            for job in await self.records.get_many(project_id, active)
            if file_id in job.files and not job.is_final
        ]

    async def events_before(
        self, project_id: str, job_id: str, after: str | None, limit: int
    ) -> tuple[list[EventRecord], bool]:
        """Return events older than `after`, newest first, and whether there are more."""
        end = "+" if after is None else f"({_stream_id(after)}"
        rows = await self.redis.xrevrange(
            _stream(project_id, job_id), max=end, min="-", count=limit + 1
        )
        return parse_known(EventRecord, map(_event, rows[:limit])), len(rows) > limit

    async def events_after(
        self, project_id: str, job_id: str, after: str | None, limit: int = 500
    ) -> list[EventRecord]:
        """Return events newer than `after`, oldest first."""
        start = "-" if after is None else f"({_stream_id(after)}"
        rows = await self.redis.xrange(_stream(project_id, job_id), min=start, max="+", count=limit)
        return parse_known(EventRecord, map(_event, rows))

    async def metrics_of(self, project_id: str, job_id: str) -> list[dict[str, Any]]:
        """Return the data of the job's metrics events, oldest first.

        Reading 20,000 of them takes a fifth of the time that `events_after` would take.
        """
        found: list[dict[str, Any]] = []
        start = "-"
        while rows := await self.redis.xrange(
            _stream(project_id, job_id), min=start, max="+", count=_METRICS_PAGE
        ):
            start = f"({rows[-1][0].decode()}"
            for _, fields in rows:
                raw = fields[b"event"]
                if _IS_METRICS in raw:  # texts in it are escaped
                    with contextlib.suppress(msgspec.DecodeError):  # of a newer version
                        found.append(_decode_metrics(raw).data)
        return found

    async def has_metrics(self, project_id: str, job_id: str) -> bool:
        """Return whether the job's events include metrics."""
        rows = await self.redis.xrange(_stream(project_id, job_id))
        return any(map(_is_metrics, rows))

    async def remove_metrics(self, project_id: str, job_id: str) -> None:
        """Remove the metrics of a job that has ended from its events.

        The other events are written again under their IDs: Redis frees no memory for a deleted
        entry while there is another one near it.
        """
        stream = _stream(project_id, job_id)

        async def decide(pipe: Pipeline) -> tuple[None, Write]:
            kept = [row for row in await pipe.xrange(stream) if not _is_metrics(row)]

            def write(pipe: Pipeline) -> None:
                pipe.delete(stream)
                for stream_id, fields in kept:
                    pipe.xadd(stream, dict(fields), id=stream_id)

            return None, write

        await commit(self.redis, [stream], decide)

    def add_events(
        self, pipe: Pipeline, project_id: str, job_id: str, events: Sequence[NewEvent]
    ) -> None:
        """Add events of a job to a transaction, and wake the streams of its events."""
        if events:
            self._announce(pipe, project_id, job_id)
        for event in events:
            body = event.model_dump() | {"created_at": clock.now_s()}
            pipe.xadd(
                _stream(project_id, job_id),
                {"event": json.dumps(body, separators=(",", ":"))},
                maxlen=_MAX_EVENTS,
                approximate=True,
            )

    def _announce(self, pipe: Pipeline, project_id: str, job_id: str) -> None:
        """Add to a transaction a message that the streams of the job's events have news."""
        invalidation.publish(pipe, invalidation.InvalidationKind.JOB, project_id, job_id)


def _labels_of(job: JobRecord) -> list[str]:
    return list(starmap(_label, job.metadata.items())) if job.metadata else [_NO_METADATA]


def _label(key: str, value: str) -> str:
    return json.dumps([key, value])


def _unfinished(job_ids: Iterable[str], found: Iterable[bytes | None]) -> list[UnfinishedJob]:
    """Decode the unfinished jobs among these records."""
    jobs = []
    for job_id, raw in zip(job_ids, found, strict=True):
        if raw is None:
            continue
        try:
            job = _decode(raw)
        except msgspec.ValidationError:
            parse_known(JobRecord, [(job_id, raw)])  # logs and counts it
            continue
        if not job.is_final:
            jobs.append(job)
    return jobs


def _end_of(job: JobRecord) -> Event:
    """Return the event of a job's end. A job ends once, so its event has the job's own ID."""
    return Event(
        id=ids.WEBHOOK_EVENT + job.id.removeprefix(ids.JOB),
        project_id=job.project_id,
        created_at=job.finished_at or clock.now_s(),
        type=f"fine_tuning.job.{job.status}",
        subject_id=job.id,
    )


def _member(job: JobRecord) -> str:
    return f"{job.project_id}/{job.id}"


def _stream(project_id: str, job_id: str) -> str:
    return f"{PREFIX}:{project_id}:events:{job_id}"


def _stream_id(event_id: str) -> str:
    return event_id.removeprefix(ids.EVENT)


def _is_metrics(row: tuple[bytes, dict[bytes, bytes]]) -> bool:
    return bool(json.loads(row[1][b"event"])["type"] == "metrics")


def _event(row: tuple[bytes, dict[bytes, bytes]]) -> tuple[str, dict[str, Any]]:
    """Parse a stream row into the ID and the fields of an event."""
    stream_id, fields = row
    event_id = ids.EVENT + stream_id.decode()
    return event_id, {**json.loads(fields[b"event"]), "id": event_id}
