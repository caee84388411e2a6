"""Routes of admin keys: the keys of all projects with the role `admin`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from service.core import ids
from service.core.errors import NotFound
from service.projects.account_schemas import AdminKeyObject, CreateAdminKey, NewAdminKeyObject
from service.projects.records import ApiKey, Role
from service.projects.routes import Store, Uses, expiry_in
from service.web.audit_events import AuditEvent
from service.web.deps import Caller
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, ListOf, OldestFirst, Resource, deleted, list_of

router = APIRouter(prefix="/v1/organization/admin_api_keys", tags=["Projects"])

ADMIN_KEY = Resource("admin key", "key_id")


async def _existing(key_id: str, store: Store, _: Caller) -> ApiKey:
    for key in await store.admin_keys() if ids.is_valid(key_id, ids.KEY) else ():
        if key.id == key_id:
            return key
    raise ADMIN_KEY.not_found(key_id)


Existing = Annotated[ApiKey, Depends(_existing)]


@router.post(
    "",
    operation_id="createAdminApiKey",
    summary="Create an admin key",
    openapi_extra=needs(Permission.ORGANIZATION_WRITE, AuditEvent.API_KEY_CREATED),
)
async def create_admin_key(body: CreateAdminKey, store: Store, caller: Caller) -> NewAdminKeyObject:
    """Create a key with the role `admin`, which manages all projects and their keys. It belongs to
    the project of the key that creates it. Its secret is in `value`, shown only once.
    """
    project = await store.get(caller.project_id)
    if project is None:
        raise NotFound(f"No such project: {caller.project_id}")
    key, secret = await store.create_key(
        project, body.name, Role.ADMIN, expires_at=expiry_in(body.expires_in_seconds)
    )
    return NewAdminKeyObject(**AdminKeyObject.from_record(key, None).model_dump(), value=secret)


@router.get(
    "",
    operation_id="listAdminApiKeys",
    summary="List admin keys",
    openapi_extra=needs(Permission.ORGANIZATION_READ),
)
async def list_admin_keys(
    store: Store, uses: Uses, _: Caller, paging: OldestFirst
) -> ListOf[AdminKeyObject]:
    """List the keys of all projects with the role `admin`, oldest first by default."""
    keys = await store.admin_keys()
    page, has_more = ADMIN_KEY.slice(keys, paging)
    return list_of([await _key_object(key, uses) for key in page], has_more)


@router.get(
    "/{key_id}",
    operation_id="getAdminApiKey",
    summary="Retrieve an admin key",
    openapi_extra=needs(Permission.ORGANIZATION_READ),
)
async def retrieve_admin_key(key: Existing, uses: Uses) -> AdminKeyObject:
    """Retrieve a key with the role `admin`, without its secret."""
    return await _key_object(key, uses)


@router.delete(
    "/{key_id}",
    operation_id="deleteAdminApiKey",
    summary="Revoke an admin key",
    openapi_extra=needs(Permission.ORGANIZATION_WRITE, AuditEvent.API_KEY_DELETED),
)
async def delete_admin_key(key: Existing, store: Store) -> Deleted:
    """Revoke a key with the role `admin` permanently. It stops working everywhere within seconds.

    If it was the last one, create another on the server, with `finetuned-server keys create`.
    """
    with ADMIN_KEY.existing(key.id):
        await store.revoke_key(key.project_id, key.id)
    return deleted(key.id, "organization.admin_api_key")


async def _key_object(key: ApiKey, uses: Uses) -> AdminKeyObject:
    [last_used_at] = await uses.last(key.project_id, [key.id])
    return AdminKeyObject.from_record(key, last_used_at)
