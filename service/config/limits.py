"""Limits of projects and keys: the values that admins set, and the defaults."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, field_validator

# Higher limits have no effect, and sums stay exact in the store's floats.
_MAX: Final = 1_000_000_000_000
_MAX_BYTES: Final = 1_000_000_000_000_000


def _checked(value: Any, *, most: int) -> Any:
    # Checked in one place before the union, whose errors name its branches instead of the field.
    if value is None or value == "unlimited":
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"a whole number from 1 to {most}, 'unlimited', or null for the default")
    return value


_Number = Annotated[int, Field(json_schema_extra={"minimum": 1, "maximum": _MAX})]
Amount = Annotated[
    _Number | Literal["unlimited"] | None, BeforeValidator(partial(_checked, most=_MAX))
]
_Bytes = Annotated[int, Field(json_schema_extra={"minimum": 1, "maximum": _MAX_BYTES})]
Size = Annotated[
    _Bytes | Literal["unlimited"] | None, BeforeValidator(partial(_checked, most=_MAX_BYTES))
]


L = TypeVar("L", bound="Limits")


class Limits(BaseModel):
    """Limits of an API key.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    requests_per_minute: Amount = Field(
        default=None,
        description="Maximum requests per minute. A request for several answers (`n`) counts "
        "once for each answer.",
    )
    tokens_per_minute: Amount = Field(
        default=None,
        description="Maximum tokens per minute, prompt and completion tokens together.",
    )
    concurrent_requests: Amount = Field(
        default=None,
        description="Maximum number of concurrent requests, including streams. A request for "
        "several answers (`n`) counts once for each answer.",
    )
    concurrent_streams: Amount = Field(
        default=None, description="Maximum number of concurrent streams."
    )

    def or_default(self, default: L) -> L:
        """Return these limits, with `default`'s values for those that are not set."""
        return default.model_copy(update=self.model_dump(exclude_none=True))

    def changed(self, change: Limits) -> Self:
        """Return these limits with the fields given in `change`; a given null unsets one."""
        return self.model_copy(update=change.model_dump(exclude_unset=True))


class ProjectLimits(Limits):
    """Limits of a project.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    storage_bytes: Size = Field(
        default=None,
        description="Maximum bytes that the project may have in storage: files, uploads, "
        "checkpoints, models, exports and results.",
    )
    record_bytes: Size = Field(
        default=None,
        description="Maximum bytes that the objects of the project may take in Redis: evals, runs, "
        "jobs, the metadata of files and chats, and answers kept for an `Idempotency-Key`. By "
        "default, an eighth of the memory of Redis.",
    )


class _StoredLimits(Limits):
    model_config = ConfigDict(extra="allow")


class _StoredProjectLimits(ProjectLimits):
    model_config = ConfigDict(extra="allow")


def _stored(value: Any, *, stored: type[Limits]) -> Any:
    if isinstance(value, dict) and not value.keys() <= stored.model_fields.keys():
        return stored.model_validate(value)
    return value


NO_LIMITS = Limits()
NO_PROJECT_LIMITS = ProjectLimits()
StoredLimits = Annotated[
    SerializeAsAny[Limits], BeforeValidator(partial(_stored, stored=_StoredLimits))
]
StoredProjectLimits = Annotated[
    SerializeAsAny[ProjectLimits], BeforeValidator(partial(_stored, stored=_StoredProjectLimits))
]
"""Limits in a record. Unknown ones, of a newer version, are kept."""


def ceiling(value: int | str | None) -> int | None:
    """Return the effective number, or None if there is no limit."""
    return value if isinstance(value, int) else None


# A quarter of an engine's concurrent requests (256), so that no project can take all of them.
_SAFE_LIMITS = ProjectLimits(concurrent_requests=64)


class LimitSettings(BaseModel):
    """Default limits of projects and keys."""

    # Limits of projects and keys that have none of their own, as JSON:
    # {"requests_per_minute": 600, "tokens_per_minute": 100000, "concurrent_requests": 32,
    # "concurrent_streams": 16}, and for projects "storage_bytes" and "record_bytes". An unset limit
    # means unlimited, except for "record_bytes" (core/redis/record_quota.py) and for those in
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
