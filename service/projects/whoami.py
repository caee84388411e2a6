"""Route `GET /v1/whoami`: the API key of a request, its project, and their limits."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from service.config.limits import Limits, ceiling
from service.core.clock import now
from service.core.errors import Unauthenticated
from service.core.redis import Client
from service.projects.key_uses import KeyUses
from service.projects.records import ApiKey, Projects
from service.projects.schemas import KeyObject, ProjectObject
from service.projects.storage_use import StorageUse
from service.usage.limits import CurrentUse, current_use
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.permissions import PERMISSIONS, Permission, needs


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
    def from_use(cls, limits: Limits, use: CurrentUse) -> Self:
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
    permissions: list[Permission] = Field(
        description="What the role of the API key allows. Each operation states the one that it "
        "needs as `x-permission`."
    )
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


router = APIRouter(prefix="/v1/whoami", tags=["Usage"])

Store = Annotated[Projects, Depends(resource("projects"))]
Uses = Annotated[KeyUses, Depends(resource("key_uses"))]
InStorage = Annotated[StorageUse, Depends(resource("storage_use"))]


@router.get(
    "",
    operation_id="getCaller",
    summary="Retrieve the API key of the request",
    openapi_extra=needs(Permission.CALLER_READ),
)
async def retrieve_caller(
    caller: Caller, store: Store, uses: Uses, in_storage: InStorage, settings: AppSettings
) -> CallerObject:
    """Retrieve the API key that the request was sent with, its project, the limits that apply to
    both, and how much of them is used.
    """
    key = await store.keys.get(caller.project_id, caller.key_id) or _key_of_token(caller)
    project = await store.get(caller.project_id)
    if key is None or project is None:
        raise Unauthenticated("The API key was revoked.")
    redis = store.redis
    [last_used_at] = await uses.last(key.project_id, [key.id])
    storage = await in_storage.bytes_by_kind(project.id)
    storage_bytes = sum(storage.values())
    limits = project.limits.or_default(settings.default_project_limits)
    allowance = await _allowance(redis, project.id, limits)
    quota = LimitUse(limit=ceiling(limits.storage_bytes), used=storage_bytes)
    return CallerObject(
        api_key=KeyObject.from_record(key, last_used_at),
        project=ProjectObject.from_record(project, storage_bytes),
        permissions=sorted(PERMISSIONS[caller.role]),
        api_key_limits=await _allowance(
            redis, key.id, key.limits.or_default(settings.default_key_limits)
        ),
        project_limits=ProjectAllowance(**dict(allowance), storage_bytes=quota),
        project_storage=storage,
        min_training_rows=settings.min_examples,
    )


def _key_of_token(caller: Principal) -> ApiKey | None:
    """Return the bearer of a token in the form of a key; None for a caller with a key."""
    if caller.token_subject is None:
        return None
    return ApiKey(
        id=caller.key_id,
        project_id=caller.project_id,
        created_at=caller.token_issued_at,
        name=caller.token_subject,
        role=caller.role,
        digest="",
        hint="",
        models=None if caller.models is None else tuple(sorted(caller.models)),
        expires_at=caller.expires_at,
    )


async def _allowance(redis: Client, subject_id: str, limits: Limits) -> Allowance:
    return Allowance.from_use(limits, await current_use(redis, subject_id, limits, now()))
