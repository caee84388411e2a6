"""Admin routes for projects and their API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.core import ids
from service.core.errors import Conflict, NotFound
from service.core.records import Missing
from service.projects.records import INSTALLATION, NameTaken, Project, Projects
from service.projects.schemas import (
    CreateKey,
    CreateProject,
    Deleted,
    KeyObject,
    NewKeyObject,
    ProjectObject,
    UpdateLimits,
)
from service.web.deps import Admin, resource
from service.web.http import ListOf, list_of, unknown_after

router = APIRouter(prefix="/v1/organization/projects", tags=["Projects"])


Store = Annotated[Projects, Depends(resource("projects"))]
Limit = Annotated[int, Query(ge=1, le=100)]


async def _existing(store: Projects, project_id: str) -> Project:
    project = await store.get(project_id) if ids.is_valid(project_id, ids.PROJECT) else None
    if project is None:
        raise NotFound(f"No such project: {project_id[:80]}", param="project_id")
    return project


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"No such key: {key_id[:80]}", param="key_id")


@router.post("", operation_id="createProject", summary="Create a project")
async def create_project(body: CreateProject, store: Store, _: Admin) -> ProjectObject:
    """Create a project: a tenant whose files, jobs, models and keys are isolated from those of
    other projects. Its name is part of its model names and can never be reused. Create an API key
    for the project next.
    """
    try:
        return ProjectObject.of(await store.create(body.name, body.limits))
    except NameTaken as e:
        raise Conflict(
            f"The project name '{body.name}' is taken; names are never used twice.",
            param="name",
            code="project_name_taken",
        ) from e


@router.get("", operation_id="listProjects", summary="List projects")
async def list_projects(
    store: Store, _: Admin, after: str | None = None, limit: Limit = 20
) -> ListOf[ProjectObject]:
    """List all projects of this installation, newest first."""
    try:
        page = await store.projects.page(INSTALLATION, after=after, limit=limit)
    except Missing as e:
        raise unknown_after("project") from e
    return list_of([ProjectObject.of(p) for p in page.items], page.has_more)


@router.get("/{project_id}", operation_id="retrieveProject", summary="Retrieve a project")
async def retrieve_project(project_id: str, store: Store, _: Admin) -> ProjectObject:
    """Retrieve a project and the limits set for it."""
    return ProjectObject.of(await _existing(store, project_id))


@router.post("/{project_id}", operation_id="updateProject", summary="Update a project's limits")
async def update_project(
    project_id: str, body: UpdateLimits, store: Store, _: Admin
) -> ProjectObject:
    """Update the project's inference limits, which apply across all of its keys. Changes take
    effect within seconds.

    An omitted limit stays unchanged, `null` restores the installation's default, and
    `"unlimited"` removes the limit.
    """
    project = await _existing(store, project_id)
    return ProjectObject.of(await store.limit(project.id, body.limits))


@router.post("/{project_id}/api_keys", operation_id="createApiKey", summary="Create an API key")
async def create_key(project_id: str, body: CreateKey, store: Store, _: Admin) -> NewKeyObject:
    """Create an API key for a project. `value` in the response is the secret. It is shown only
    once, because the service stores only its digest. A key with the role `admin` may manage all
    projects.
    """
    project = await _existing(store, project_id)
    key, secret = await store.create_key(project, body.name, body.role, body.limits)
    return NewKeyObject(**KeyObject.of(key).model_dump(), value=secret)


@router.get("/{project_id}/api_keys", operation_id="listApiKeys", summary="List API keys")
async def list_keys(
    project_id: str, store: Store, _: Admin, after: str | None = None, limit: Limit = 20
) -> ListOf[KeyObject]:
    """List the project's API keys, newest first, without their secrets."""
    project = await _existing(store, project_id)
    try:
        page = await store.keys.page(project.id, after=after, limit=limit)
    except Missing as e:
        raise unknown_after("key") from e
    return list_of([KeyObject.of(k) for k in page.items], page.has_more)


@router.post(
    "/{project_id}/api_keys/{key_id}",
    operation_id="updateApiKey",
    summary="Update an API key's limits",
)
async def update_key(
    project_id: str, key_id: str, body: UpdateLimits, store: Store, _: Admin
) -> KeyObject:
    """Update a key's inference limits, which apply within those of its project. Changes take
    effect within seconds.

    An omitted limit stays unchanged, `null` restores the installation's default, and
    `"unlimited"` removes the limit.
    """
    project = await _existing(store, project_id)
    if not ids.is_valid(key_id, ids.KEY):
        raise _no_key(key_id)
    try:
        return KeyObject.of(await store.limit_key(project.id, key_id, body.limits))
    except Missing as e:
        raise _no_key(key_id) from e


@router.delete(
    "/{project_id}/api_keys/{key_id}",
    operation_id="deleteApiKey",
    summary="Revoke an API key",
)
async def delete_key(project_id: str, key_id: str, store: Store, _: Admin) -> Deleted:
    """Revoke an API key permanently. It stops working everywhere within seconds."""
    project = await _existing(store, project_id)
    try:
        await store.revoke_key(project.id, key_id)
    except Missing as e:
        raise _no_key(key_id) from e
    return Deleted(id=key_id, object="organization.project.api_key.deleted")
