"""`replay`: computes steps of a finished training again, and records whether they are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from service.cli.connections import open_redis, open_storage, record_changes
from service.config import Settings
from service.core import ids
from service.core.leases import Leases
from service.core.records import parse
from service.core.redis import Client
from service.files.records import Files
from service.fleet.capacity import measure
from service.inference.background.calls import EngineAccess, Resources
from service.inference.upstreams import Upstreams
from service.jobs.attempt.replay import Choice, NotReplayable, Replay, keep
from service.jobs.records import JobRecord, Jobs, NewEvent, ReplayRecord
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.projects.records import Projects
from service.standalone.layout import DataLayout
from service.usage.meter import Meter
from service.web.audit_events import AuditEvent
from service.worker.gpu_share import limit_trainer_memory, training_capacity


async def replay(
    data_dir: Path | None, job_id: str, choice: Choice, tell: Callable[[str], None]
) -> tuple[JobRecord, ReplayRecord]:
    """Replay a job, and note the result in its record, its events and the audit log.

    Raises NotReplayable, StorageError, and ValueError if Redis cannot be reached.
    """
    settings = _settings(data_dir)
    async with open_redis(data_dir) as redis:
        jobs = Jobs(redis)
        job = await _find(jobs, job_id)
        entry = (catalogue := Catalogue(settings.models_file)).get(job.model)
        if entry is None:
            raise NotReplayable(f"the base model {job.model} is no longer in the catalog")
        machine = measure()
        settings = limit_trainer_memory(settings, catalogue, machine)
        upstreams = Upstreams.from_settings(settings)
        attempt = Replay(
            job,
            entry,
            jobs,
            _resources(redis, settings, catalogue, upstreams, data_dir),
            machine=training_capacity(machine, settings),
            upstreams=upstreams,
            choice=choice,
            tell=tell,
        )
        found = await attempt.replay()
        with record_changes(AuditEvent.JOB_REPLAYED, job.project_id) as trail:
            trail.name(AuditEvent.JOB_REPLAYED, [job.id, found.model])
            trail.count(windows=len(found.windows), findings=len(found.findings))
            job = await jobs.change(
                job.project_id,
                job.id,
                lambda current: keep(current, found),
                lambda _: [_event(found)],
            )
        return job, found


def _event(found: ReplayRecord) -> NewEvent:
    level = "warn" if found.outcome == "different" else "info"
    return NewEvent(message=summary(found), level=level, data={"outcome": found.outcome})


def summary(found: ReplayRecord) -> str:
    """Return the result as one line."""
    computed = sum(w.last_step - w.first_step + 1 for w in found.windows)
    match found.outcome:
        case "equal":
            return f"Replay: {computed} steps are bit-equal to the training"
        case "within_tolerance":
            return f"Replay: {computed} steps agree with the training within the tolerance"
        case "rows_gone":
            gone = ", ".join(found.gone_files)
            return f"Replay: not computed, because files were deleted since the training: {gone}"
        case "different":
            codes = ", ".join(dict.fromkeys(finding.code for finding in found.findings))
            return f"Replay: what is recorded differs from the training ({codes})"


def coverage(found: ReplayRecord) -> str:
    """Return how much of the training was checked, and what that finds."""
    others = found.total_windows - 1
    seed = f"{'given ' if found.is_repetition else ''}seed {found.seed}"
    said = (
        f"{found.drawn + 1} of {found.total_windows} windows checked: the one that leads to the "
        f"adapter, and {found.drawn} drawn with the {seed}"
    )
    if found.steps is not None:
        return f"{said}; of each, only the first {found.steps} steps"
    chance = found.drawn / others if others else 1
    return f"{said}. A single changed window is found with a probability of {chance:.0%}"


def time_spent(job: JobRecord, found: ReplayRecord) -> str:
    """Return how long a replay took, compared with the training."""
    if job.started_at is None or job.finished_at is None or job.finished_at <= job.started_at:
        return f"{found.seconds:.0f} s"
    trained_s = job.finished_at - job.started_at
    share = found.seconds / trained_s
    return f"{found.seconds:.0f} s, {share:.0%} of the training's {trained_s} s"


async def _find(jobs: Jobs, job_id: str) -> JobRecord:
    """Return the job with this ID in any project. Raises NotReplayable."""
    if ids.is_valid(job_id, ids.JOB):
        async for key in jobs.redis.scan_iter(match=jobs.records.key("*", job_id), count=10_000):
            raw = await jobs.redis.get(key)
            if raw is not None:
                return parse(JobRecord, raw, job_id)
    raise NotReplayable(f"there is no job {job_id}")


def _settings(data_dir: Path | None) -> Settings:
    settings = Settings()
    if data_dir is None:
        return settings
    layout = DataLayout(data_dir.resolve())
    return settings.model_copy(update={"data_dir": layout.root, "models_file": layout.models_file})


def _resources(
    redis: Client,
    settings: Settings,
    catalogue: Catalogue,
    upstreams: Upstreams,
    data_dir: Path | None,
) -> Resources:
    storage = open_storage(data_dir)
    registry = ModelRegistry(redis, catalogue, cache_s=0)
    access = EngineAccess(
        projects=Projects(redis),
        registry=registry,
        upstreams=upstreams,
        meter=Meter.from_settings(redis, settings),
        settings=settings,
    )
    leases = Leases(redis, "replay", lease_s=settings.lease_s)
    return Resources(Files(redis, storage), registry, storage, leases, settings, access)
