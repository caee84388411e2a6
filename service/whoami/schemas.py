"""Response schemas of `GET /v1/whoami`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field

from service.core.limits import Limits, ceiling
from service.projects.schemas import KeyObject, ProjectObject
from service.usage.limits import CurrentUse


class LimitUse(BaseModel):
    """A limit, and how much of it is used."""

    limit: int | None = Field(description="Limit, or null if there is none.")
    used: int = Field(
        description="Used amount of the limit, as of about a second ago. 0 if there is no "
        "limit, because nothing is counted then."
    )


class Allowance(BaseModel):
    """Limits that apply to an API key or a project, and how much of them is used."""

    requests_per_minute: LimitUse
    tokens_per_minute: LimitUse
    concurrent_requests: LimitUse
    concurrent_streams: LimitUse

    @classmethod
    def of(cls, limits: Limits, use: CurrentUse) -> Self:
        """The API object for effective limits and their use."""

        def limited(limit: int | str | None, used: int) -> LimitUse:
            most = ceiling(limit)
            return LimitUse(limit=most, used=0 if most is None else used)

        return cls(
            requests_per_minute=limited(limits.requests_per_minute, use.requests),
            tokens_per_minute=limited(limits.tokens_per_minute, use.tokens),
            concurrent_requests=limited(limits.concurrent_requests, use.concurrent_requests),
            concurrent_streams=limited(limits.concurrent_streams, use.concurrent_streams),
        )


class ProjectAllowance(Allowance):
    """Limits that apply to a project, and how much of them is used."""

    storage_bytes: LimitUse = Field(
        description="Storage quota of the project. `used` is counted even without a quota."
    )


class CallerObject(BaseModel):
    """The API key that a request was sent with, its project, and the limits of both."""

    object: Literal["caller"] = "caller"
    api_key: KeyObject
    project: ProjectObject
    api_key_limits: Allowance = Field(
        description="Limits that apply to the API key, installation defaults included."
    )
    project_limits: ProjectAllowance = Field(
        description="Limits that apply to all keys of the project together, installation defaults "
        "included."
    )
    project_storage: dict[str, int] = Field(
        description="Bytes that the project has in storage, by kind, such as `files` and `jobs`. "
        "`uploading` is reserved for uploads and tasks in progress."
    )
    min_training_rows: int = Field(
        description="Minimum number of rows in the training file of a job."
    )
