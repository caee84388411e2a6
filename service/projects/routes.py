"""Routes for projects and their API keys."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query

from service.core import clock, ids
from service.core.errors import BadRequest, Conflict, Forbidden, LimitReached
from service.projects.key_uses import KeyUses
from service.projects.records import (
    INSTALLATION,
    MAX_OLD_SECRETS,
    ApiKey,
    NameTaken,
    Project,
    ProjectArchived,
    Projects,
    Role,
    TooManySecrets,
)
from service.projects.schemas import (
    CaptureSettings,
    CreateKey,
    CreateProject,
    KeyObject,
    NewKeyObject,
    ProjectObject,
    RotateKey,
    UpdateKey,
    UpdateProject,
)
from service.projects.storage_use import StorageUse
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.auth import Capture, Principal
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, ListOf, Paged, Resource, deleted, list_of

router = APIRouter(prefix="/v1/organization/projects", tags=["Projects"])
_FIELDS_OF_PROJECT_ADMINS: Final = frozenset({"capture"})

Store = Annotated[Projects, Depends(resource("projects"))]
Uses = Annotated[KeyUses, Depends(resource("key_uses"))]
InStorage = Annotated[StorageUse, Depends(resource("storage_use"))]

PROJECT = Resource("project")
KEY = Resource("key")


async def _existing(store: Store, project_id: str, caller: Caller) -> Project:
    """Return the project, if it is the caller's or the caller may read all of them."""
    is_visible = project_id == caller.project_id or caller.may(Permission.ORGANIZATION_READ)
    is_id = ids.is_valid(project_id, ids.PROJECT)
    project = await store.get(project_id) if is_visible and is_id else None
    return PROJECT.get_or_404(project, project_id)


Existing = Annotated[Project, Depends(_existing)]


async def _key_id(key_id: str) -> str:
    if not ids.is_valid(key_id, ids.KEY):
        raise KEY.not_found(key_id)
    return key_id


KeyId = Annotated[str, Depends(_key_id)]


def require_rights(caller: Principal, role: Role, doing: str) -> None:
    """Raise Forbidden if a role has permissions that the caller lacks and could get this way."""
    if not caller.covers(role):
        raise Forbidden(
            f"The API key has the role '{caller.role}' and cannot {doing} a key with the role "
            f"'{role}', which has more permissions.",
            param="role",
        )


def archived_error(project: Project) -> Conflict:
    """The error of a request for a key of an archived project."""
    return Conflict(
        f"The project '{project.name}' is archived, so it cannot get new keys. Create another "
        "project.",
        param="project_id",
    )


def _require_inference(role: Role, models: object) -> None:
    if models is not None and role is not Role.INFERENCE:
        raise BadRequest(
            f"Only keys with the role 'inference' can be limited to 'models'; this one has the "
            f"role '{role}'.",
            param="models",
        )


@router.post(
    "",
    operation_id="createProject",
    summary="Create a project",
    openapi_extra=needs(Permission.ORGANIZATION_WRITE, AuditEvent.PROJECT_CREATED),
)
async def create_project(body: CreateProject, store: Store, _: Caller) -> ProjectObject:
    """Create a project: a tenant whose files, jobs, models and keys are isolated from those of
    other projects. Its name is part of its model names and can never be reused. Create an API key
    for the project next.
    """
    try:
        return ProjectObject.from_record(await store.create(body.name, body.limits), 0)
    except NameTaken as e:
        raise Conflict(
            f"The project name '{body.name}' is taken; names are never reused.",
            param="name",
            code="name_taken",
        ) from e


@router.get(
    "",
    operation_id="listProjects",
    summary="List projects",
    openapi_extra=needs(Permission.ORGANIZATION_READ),
)
async def list_projects(
    store: Store,
    use: InStorage,
    _: Caller,
    paging: Paged,
    include_archived: Annotated[
        bool, Query(description="Whether to include archived projects and those being deleted.")
    ] = False,
) -> ListOf[ProjectObject]:
    """List all projects of this installation, newest first."""
    where = None if include_archived else _is_active
    page = await PROJECT.read(store.projects.page(INSTALLATION, **paging.bounds, where=where))
    sizes = await use.totals([project.id for project in page.items])
    left = [await _objects_left(project, store) for project in page.items]
    return list_of(list(map(ProjectObject.from_record, page.items, sizes, left)), page.has_more)


def _is_active(project: Project) -> bool:
    return project.archived_at is None


async def _objects_left(project: Project, store: Projects) -> int | None:
    return None if project.deleting_since is None else await store.objects_left(project.id)


@router.get(
    "/{project_id}",
    operation_id="getProject",
    summary="Retrieve a project",
    openapi_extra=needs(Permission.PROJECT_READ),
)
async def retrieve_project(project: Existing, store: Store, use: InStorage) -> ProjectObject:
    """Retrieve a project, the limits set for it and its bytes in storage."""
    return await _project_object(project, store, use)


@router.post(
    "/{project_id}",
    operation_id="updateProject",
    summary="Update a project",
    openapi_extra=needs(Permission.PROJECT_WRITE, AuditEvent.PROJECT_UPDATED),
)
async def update_project(
    project: Existing, body: UpdateProject, store: Store, use: InStorage, caller: Caller
) -> ProjectObject:
    """Update the project's limits, which apply across all of its keys, or its capture of chats.
    Changes take effect within seconds. A storage quota below the current use deletes nothing,
    and rejects new writes.

    An omitted limit stays unchanged, `null` restores the installation's default, and `"unlimited"`
    removes the limit.

    A key with the role `project_admin` can change only `capture`: it can always set `null`, and
    other values if `capture_managed_by` of the project is `project`.
    """
    if body.model_fields_set - _FIELDS_OF_PROJECT_ADMINS:
        caller.require(Permission.ORGANIZATION_WRITE)
    if body.name not in (None, project.name):
        raise BadRequest(
            f"The name of a project cannot change, because the names of its models contain it. "
            f"This project is '{project.name}'. Create a project with the new name instead.",
            param="name",
            code="invalid_value",
        )
    with audit_trail.recorded_as(_event(body)):
        project = await store.change(project.id, partial(_apply_project_update, caller, body))
    return await _project_object(project, store, use)


def _event(body: UpdateProject) -> AuditEvent:
    if "capture" in body.model_fields_set:
        is_off = body.capture is None
        return AuditEvent.CAPTURE_DISABLED if is_off else AuditEvent.CAPTURE_ENABLED
    if body.capture_managed_by is not None:
        return AuditEvent.CAPTURE_DELEGATED
    return AuditEvent.PROJECT_UPDATED


def _apply_project_update(caller: Principal, body: UpdateProject, project: Project) -> Project:
    """The project after an update. Raises Forbidden."""
    change: dict[str, Any] = {"limits": project.limits.changed(body.limits)}
    if body.capture_managed_by is not None:
        change["capture_managed_by"] = body.capture_managed_by
    if body.four_eyes is not None:
        change["four_eyes"] = body.four_eyes
    if "capture" in body.model_fields_set:
        change["capture"] = _capture(caller, body.capture, project)
    return project.model_copy(update=change)


def _capture(caller: Principal, wanted: CaptureSettings | None, project: Project) -> Capture | None:
    """The settings of a project's capture. Raises Forbidden for a caller who may only end it."""
    if wanted is None:
        return None
    is_delegated = project.capture_managed_by == "project"
    if not (is_delegated or caller.may(Permission.ORGANIZATION_WRITE)):
        raise Forbidden(
            f"The API key has the role '{caller.role}' and can only switch off the storage of "
            "chats of this project, with null. To let it choose the settings, have a key with the "
            "role 'admin' set 'capture_managed_by' of the project to 'project'.",
            param="capture",
        )
    return Capture.model_validate(wanted.model_dump())


@router.post(
    "/{project_id}/archive",
    operation_id="archiveProject",
    summary="Archive a project",
    openapi_extra=needs(Permission.ORGANIZATION_WRITE, AuditEvent.PROJECT_ARCHIVED),
)
async def archive_project(
    project: Existing, store: Store, use: InStorage, caller: Caller
) -> ProjectObject:
    """Archive a project permanently. All of its keys stop working within seconds, and no new keys
    can be created. Its data is kept, and work in progress continues. Archiving it again changes
    nothing.
    """
    _require_other(project, caller, "archive")
    return await _project_object(await store.archive(project.id), store, use)


@router.delete(
    "/{project_id}",
    operation_id="deleteProject",
    summary="Delete a project",
    openapi_extra=needs(Permission.ORGANIZATION_WRITE, AuditEvent.PROJECT_DELETED),
)
async def delete_project(
    project: Existing, store: Store, use: InStorage, caller: Caller
) -> ProjectObject:
    """Delete a project and everything in it: jobs, files, uploads, models, aliases, exports, evals,
    batches, generations, stored chats, webhooks, recognizers and keys. Running jobs stop. This
    cannot be undone.

    The keys stop working within seconds. The rest is deleted in the background: the status is
    `deleting`, and `objects_left` falls until the project no longer exists. Its usage is kept as
    long as that of other projects, and its name is never reused.
    """
    _require_other(project, caller, "delete")
    return await _project_object(await store.begin_deletion(project.id), store, use)


def _require_other(project: Project, caller: Principal, doing: str) -> None:
    if project.id == caller.project_id:
        raise Conflict(
            f"A key cannot {doing} its own project. Use a key with the role 'admin' of another "
            "project.",
            param="project_id",
            code="own_project",
        )


async def _project_object(project: Project, store: Projects, use: StorageUse) -> ProjectObject:
    [storage_bytes] = await use.totals([project.id])
    return ProjectObject.from_record(project, storage_bytes, await _objects_left(project, store))


@router.post(
    "/{project_id}/api_keys",
    operation_id="createApiKey",
    summary="Create an API key",
    openapi_extra=needs(Permission.API_KEYS_WRITE, AuditEvent.API_KEY_CREATED),
)
async def create_key(
    project: Existing, body: CreateKey, store: Store, caller: Caller
) -> NewKeyObject:
    """Create an API key for a project. `value` in the response is the secret. It is shown only
    once, because the service stores only its digest.

    A key cannot create keys with more permissions than it has: keys with the role `admin` or
    `auditor` are created by keys with the role `admin`.
    """
    require_rights(caller, body.role, "create")
    _require_inference(body.role, body.models)
    try:
        key, secret = await store.create_key(
            project,
            body.name,
            body.role,
            body.limits,
            models=_tuple(body.models),
            expires_at=expiry_in(body.expires_in_seconds),
            allowed_ips=_tuple(body.allowed_ips),
        )
    except ProjectArchived as e:
        raise archived_error(project) from e
    return NewKeyObject(**KeyObject.from_record(key).model_dump(), value=secret)


@router.get(
    "/{project_id}/api_keys",
    operation_id="listApiKeys",
    summary="List API keys",
    openapi_extra=needs(Permission.API_KEYS_READ),
)
async def list_keys(
    project: Existing, store: Store, uses: Uses, paging: Paged
) -> ListOf[KeyObject]:
    """List the project's API keys, newest first, without their secrets."""
    page = await KEY.read(store.keys.page(project.id, **paging.bounds))
    last_used = await uses.last(project.id, [key.id for key in page.items])
    return list_of(list(map(KeyObject.from_record, page.items, last_used)), page.has_more)


@router.get(
    "/{project_id}/api_keys/{key_id}",
    operation_id="getApiKey",
    summary="Retrieve an API key",
    openapi_extra=needs(Permission.API_KEYS_READ),
)
async def retrieve_key(project: Existing, key_id: KeyId, store: Store, uses: Uses) -> KeyObject:
    """Retrieve an API key without its secret."""
    key = await store.keys.get(project.id, key_id)
    return await _key_object(KEY.get_or_404(key, key_id), uses)


@router.post(
    "/{project_id}/api_keys/{key_id}",
    operation_id="updateApiKey",
    summary="Update an API key",
    openapi_extra=needs(Permission.API_KEYS_WRITE, AuditEvent.API_KEY_UPDATED),
)
async def update_key(
    project: Existing, key_id: KeyId, body: UpdateKey, store: Store, uses: Uses, caller: Caller
) -> KeyObject:
    """Update a key's name, role, models, expiry, addresses or inference limits, which apply within
    those of its project. Changes take effect within seconds.

    An omitted limit stays unchanged, `null` restores the installation's default, and
    `"unlimited"` removes the limit.
    """
    with KEY.existing(key_id):
        key = await store.change_key(project.id, key_id, partial(_apply_update, caller, body))
    return await _key_object(key, uses)


def _apply_update(caller: Principal, body: UpdateKey, key: ApiKey) -> ApiKey:
    """The key after an update. Raises Forbidden and BadRequest."""
    require_rights(caller, key.role, "change")
    change = body.model_dump(include={"name", "role"}, exclude_none=True)
    role = change.get("role", key.role)
    require_rights(caller, role, "make")
    if "models" in body.model_fields_set:
        change["models"] = _tuple(body.models)
    if "allowed_ips" in body.model_fields_set:
        change["allowed_ips"] = _tuple(body.allowed_ips)
    if "expires_in_seconds" in body.model_fields_set:
        change["expires_at"] = expiry_in(body.expires_in_seconds)
    _require_inference(role, change.get("models", key.models))
    return key.model_copy(update={**change, "limits": key.limits.changed(body.limits)})


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def expiry_in(seconds: int | None) -> int | None:
    """The time in this many seconds, or None."""
    return None if seconds is None else clock.now_s() + seconds


async def _key_object(key: ApiKey, uses: KeyUses) -> KeyObject:
    [last_used_at] = await uses.last(key.project_id, [key.id])
    return KeyObject.from_record(key, last_used_at)


@router.post(
    "/{project_id}/api_keys/{key_id}/rotate",
    operation_id="rotateApiKey",
    summary="Replace the secret of an API key",
    openapi_extra=needs(Permission.API_KEYS_WRITE, AuditEvent.API_KEY_ROTATED),
)
async def rotate_key(
    project: Existing,
    key_id: KeyId,
    store: Store,
    uses: Uses,
    caller: Caller,
    body: RotateKey | None = None,
) -> NewKeyObject:
    """Give an API key a new secret, which is in `value` and not shown again. The previous secrets
    stay valid for `overlap_seconds`, but not beyond their own expiry, so that programs can switch
    to the new one. The key's ID, role, limits and usage stay the same.

    If a response is lost, repeat the request: the secret in use stays valid.
    """
    try:
        with KEY.existing(key_id):
            key, secret = await store.rotate_key(
                project.id,
                key_id,
                overlap_s=(body or RotateKey()).overlap_seconds,
                check=lambda key: require_rights(caller, key.role, "rotate"),
            )
    except TooManySecrets as e:
        raise LimitReached(
            f"More than {MAX_OLD_SECRETS} secrets of the key are still valid. End them with a "
            "shorter 'overlap_seconds'.",
            param="overlap_seconds",
        ) from e
    return NewKeyObject(**(await _key_object(key, uses)).model_dump(), value=secret)


@router.delete(
    "/{project_id}/api_keys/{key_id}",
    operation_id="deleteApiKey",
    summary="Revoke an API key",
    openapi_extra=needs(Permission.API_KEYS_WRITE, AuditEvent.API_KEY_DELETED),
)
async def delete_key(project: Existing, key_id: KeyId, store: Store, caller: Caller) -> Deleted:
    """Revoke an API key permanently. It stops working everywhere within seconds."""
    with KEY.existing(key_id):
        await store.revoke_key(
            project.id, key_id, lambda key: require_rights(caller, key.role, "revoke")
        )
    return deleted(key_id, "organization.project.api_key")
