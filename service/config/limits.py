"""How much each project and each key may have and do."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from service.core.limits import NO_LIMITS, Limits, ProjectLimits

# A quarter of an engine's concurrent requests (256), so that no project can take all of them.
_SAFE_LIMITS = ProjectLimits(concurrent_requests=64)


class LimitSettings(BaseModel):
    """How much each project and each key may have and do."""

    # Limits of projects and keys that have none of their own, as JSON:
    # {"requests_per_minute": 600, "tokens_per_minute": 100000, "concurrent_requests": 32,
    # "concurrent_streams": 16}, and for projects "storage_bytes" and "record_bytes". An unset limit
    # means unlimited, except for "record_bytes" (core/record_use.py) and for those in
    # `_SAFE_LIMITS`. "unlimited" lifts these.
    default_project_limits: ProjectLimits = _SAFE_LIMITS
    default_key_limits: Limits = NO_LIMITS
    usage_flush_s: float = Field(
        default=1.0, gt=0, le=5, description="Interval at which usage is synchronized with Redis."
    )

    max_pending_uploads_per_project: int = Field(default=100, ge=1)
    max_file_tasks_per_project: int = Field(
        default=50,
        ge=1,
        description="Maximum number of tasks on files, such as reports and cleanings, that wait "
        "or run.",
    )
    max_aliases_per_project: int = Field(default=1000, ge=1)
    max_exports_per_project: int = Field(
        default=20, ge=1, description="Maximum number of exports that a project keeps."
    )
    min_examples: int = Field(default=10, ge=1)
    max_queued_jobs_per_project: int = Field(
        default=100,
        ge=1,
        description="Maximum number of queued jobs, including jobs being checked. Above it, job "
        "creation answers 429.",
    )
    max_running_jobs_per_project: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of running jobs. Further jobs wait, even if GPUs are free.",
    )
    max_evals_per_project: int = Field(default=1000, ge=1)
    max_runs_per_eval: int = Field(default=1000, ge=1)
    max_unfinished_eval_runs_per_project: int = Field(
        default=20,
        ge=1,
        description="Maximum number of runs that wait or run. Above it, run creation answers 429.",
    )
    max_unfinished_batches_per_project: int = Field(
        default=20,
        ge=1,
        description="Maximum number of batches that wait or run. Above it, batch creation answers "
        "429.",
    )
    max_unfinished_generations_per_project: int = Field(
        default=5,
        ge=1,
        description="Maximum number of generations that wait or run. Above it, the creation of one "
        "answers 429.",
    )

    metrics_max_projects: int = Field(
        default=50,
        ge=0,
        description="Number of projects with their own metrics label. Others share 'other'.",
    )
    metrics_max_aliases: int = Field(
        default=50,
        ge=0,
        description="Number of aliases whose gain is exported: those that changed last.",
    )

    @field_validator("default_project_limits")
    @classmethod
    def _safe_limits(cls, value: ProjectLimits) -> ProjectLimits:
        return value.or_default(_SAFE_LIMITS)
