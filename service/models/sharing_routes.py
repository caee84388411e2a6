"""OpenAI's permissions of checkpoints: which other projects may use a trained model."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from service.core import ids
from service.core.errors import BadRequest, Forbidden, NotFound
from service.core.records import Missing
from service.models.approvals import require_approvals
from service.models.registry import ModelRegistry
from service.models.sharing import ModelPermission
from service.projects.records import Projects
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paging, Resource, list_of, paging

router = APIRouter(prefix="/v1/fine_tuning/checkpoints", tags=["Models"])

Registry = Annotated[ModelRegistry, Depends(resource("registry"))]
ProjectStore = Annotated[Projects, Depends(resource("projects"))]

PERMISSION = Resource("permission")


class CreatePermissions(BaseModel):
    """Request to let other projects use a trained model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    project_ids: list[str] = Field(
        min_length=1, max_length=100, description="IDs of the projects that may use the model."
    )


class PermissionObject(BaseModel):
    """A permission of a project to send requests to a model of another one."""

    object: Literal["checkpoint.permission"] = "checkpoint.permission"
    id: str = Field(description="ID of the permission, prefixed with `cp_`.")
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    project_id: str = Field(description="ID of the project that may use the model.")

    @classmethod
    def from_record(cls, permission: ModelPermission) -> PermissionObject:
        """The API object for a record."""
        return cls(
            id=permission.id, created_at=permission.created_at, project_id=permission.grantee
        )


class PermissionDeleted(BaseModel):
    """Response to revoking a permission."""

    object: Literal["checkpoint.permission"] = "checkpoint.permission"
    id: str = Field(description="ID of the revoked permission.")
    deleted: Literal[True] = True


async def _owner(model: str, registry: Registry, caller: Caller) -> str:
    """The ID of the project that has a trained model: the caller's, unless it sees all projects."""
    owner = await registry.owner(model)
    if owner is None or await registry.get(owner, model) is None:
        raise _no_model(model)
    if owner != caller.project_id and not caller.may(Permission.ORGANIZATION_READ):
        raise _no_model(model)
    return owner


Owner = Annotated[str, Depends(_owner)]


def _no_model(model: str) -> NotFound:
    return NotFound(f"No such trained model: {model[:200]}", param="model", code="model_not_found")


@router.post(
    "/{model:path}/permissions",
    operation_id="createFineTuningCheckpointPermission",
    summary="Share a trained model",
    openapi_extra=needs(Permission.MODEL_SHARE, AuditEvent.MODEL_SHARED),
)
async def create_permissions(
    model: str,
    caller: Caller,
    owner: Owner,
    body: CreatePermissions,
    registry: Registry,
    projects: ProjectStore,
) -> ListOf[PermissionObject]:
    """Let other projects send requests to a trained model or a checkpoint, also through aliases of
    their own. They cannot export, delete or train on it, and their requests count as their own
    usage. An existing permission is kept. If the project has `four_eyes`, a second person must have
    approved the model.

    Only a key of the project that has the model may share it: a model can repeat what it was
    trained on, and the role `admin` does not read the data of other projects.
    """
    if owner != caller.project_id:
        raise Forbidden(
            "The model belongs to another project. Share it with a key of that project.",
            param="model",
            code="not_the_owner",
        )
    for place, project_id in enumerate(body.project_ids):
        known = ids.is_valid(project_id, ids.PROJECT) and await projects.get(project_id)
        if not known or project_id == owner:
            why = "has the model" if project_id == owner else "does not exist"
            raise BadRequest(
                f"The project {project_id[:80]} {why}.",
                param=f"project_ids.{place}",
                code="invalid_value",
            )
    await require_approvals(registry, owner, [model])
    key = registry.models.key(owner, model)
    try:
        made = [
            await registry.sharing.grant(owner, model, project_id, key)
            for project_id in body.project_ids
        ]
    except Missing as e:
        raise _no_model(model) from e
    return list_of(list(map(PermissionObject.from_record, made)), has_more=False)


@router.get(
    "/{model:path}/permissions",
    operation_id="listFineTuningCheckpointPermissions",
    summary="List who may use a trained model",
    openapi_extra=needs(Permission.PROJECT_READ),
)
async def list_permissions(
    model: str,
    owner: Owner,
    registry: Registry,
    paging: Annotated[Paging, paging(default=10)],
    project_id: Annotated[str | None, Query(description="Project to filter by.")] = None,
    order: Literal["ascending", "descending"] = "descending",
) -> ListOf[PermissionObject]:
    """List the permissions of other projects to use a trained model. Keys with the roles `admin`
    and `auditor` list those of the models of all projects.
    """

    def matches(permission: ModelPermission) -> bool:
        return permission.model == model and project_id in (None, permission.grantee)

    oldest_first = order == "ascending"
    page = registry.sharing.records.page(
        owner, after=paging.after, limit=paging.limit, where=matches, oldest_first=oldest_first
    )
    return await PERMISSION.list(page, PermissionObject.from_record)


@router.delete(
    "/{model:path}/permissions/{permission_id}",
    operation_id="deleteFineTuningCheckpointPermission",
    summary="Stop sharing a trained model",
    openapi_extra=needs(Permission.MODEL_SHARE, AuditEvent.MODEL_UNSHARED),
)
async def delete_permission(
    model: str, permission_id: str, owner: Owner, registry: Registry
) -> PermissionDeleted:
    """Revoke the permission of a project to use a trained model. Its requests get 404 within
    seconds. Keys with the role `admin` revoke permissions to use the models of all projects.
    """
    is_id = ids.is_valid(permission_id, ids.MODEL_PERMISSION)
    found = await registry.sharing.records.get(owner, permission_id) if is_id else None
    if found is None or found.model != model or not await registry.sharing.revoke(found):
        raise PERMISSION.not_found(permission_id)
    return PermissionDeleted(id=permission_id)
