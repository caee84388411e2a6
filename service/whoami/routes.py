"""`GET /v1/whoami`: the API key of a request, its project, and their limits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from service.core.clock import now
from service.core.errors import Unauthenticated
from service.core.limits import Limits, ceiling
from service.core.redis import Client
from service.core.storage_use import StorageUse
from service.projects.records import ApiKey, Projects
from service.projects.schemas import KeyObject, ProjectObject
from service.projects.uses import KeyUses
from service.usage.limits import current_use
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.permissions import Permission, needs
from service.whoami.schemas import Allowance, CallerObject, LimitUse, ProjectAllowance

router = APIRouter(prefix="/v1/whoami", tags=["Usage"])

Store = Annotated[Projects, Depends(resource("projects"))]
Uses = Annotated[KeyUses, Depends(resource("key_uses"))]
InStorage = Annotated[StorageUse, Depends(resource("storage_use"))]


@router.get(
    "",
    operation_id="retrieveCaller",
    summary="Retrieve the API key of the request",
    openapi_extra=needs(Permission.CALLER_READ),
)
async def retrieve_caller(
    caller: Caller, store: Store, uses: Uses, in_storage: InStorage, settings: AppSettings
) -> CallerObject:
    """Retrieve the API key that the request was sent with, its project, the limits that apply to
    both, and how much of them is used.
    """
    key = await store.keys.get(caller.project_id, caller.key_id) or _of_token(caller)
    project = await store.get(caller.project_id)
    if key is None or project is None:
        raise Unauthenticated("The API key was revoked.")
    redis = store.redis
    [last_used_at] = await uses.last(key.project_id, [key.id])
    storage = await in_storage.of(project.id)
    storage_bytes = sum(storage.values())
    limits = project.limits.or_default(settings.default_project_limits)
    allowance = await _allowance(redis, project.id, limits)
    quota = LimitUse(limit=ceiling(limits.storage_bytes), used=storage_bytes)
    return CallerObject(
        api_key=KeyObject.of(key, last_used_at),
        project=ProjectObject.of(project, storage_bytes),
        api_key_limits=await _allowance(
            redis, key.id, key.limits.or_default(settings.default_key_limits)
        ),
        project_limits=ProjectAllowance(**dict(allowance), storage_bytes=quota),
        project_storage=storage,
        min_training_rows=settings.min_examples,
    )


def _of_token(caller: Principal) -> ApiKey | None:
    """Return a key as whoami shows a caller with a token; None for one with a key."""
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
    return Allowance.of(limits, await current_use(redis, subject_id, limits, now()))
