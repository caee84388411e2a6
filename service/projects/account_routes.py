"""Routes of service accounts and their keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends

from service.core import ids
from service.core.errors import Conflict
from service.projects.account_schemas import (
    AccountKeyObject,
    CreateAccountKey,
    CreateServiceAccount,
    NewServiceAccountObject,
    ServiceAccountObject,
    UpdateServiceAccount,
)
from service.projects.records import Project, ProjectArchived
from service.projects.routes import Existing, archived_error, expiry_in, require_rights
from service.projects.service_accounts import AccountRole, ServiceAccount, ServiceAccounts
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, ListOf, Paged, Resource, deleted

router = APIRouter(
    prefix="/v1/organization/projects/{project_id}/service_accounts", tags=["Projects"]
)

Store = Annotated[ServiceAccounts, Depends(resource("service_accounts"))]

SERVICE_ACCOUNT = Resource("service account")


async def _account(project: Existing, service_account_id: str, store: Store) -> ServiceAccount:
    is_id = ids.is_valid(service_account_id, ids.SERVICE_ACCOUNT)
    account = await store.records.get(project.id, service_account_id) if is_id else None
    return SERVICE_ACCOUNT.get_or_404(account, service_account_id)


Account = Annotated[ServiceAccount, Depends(_account)]


def _require_rights_of(caller: Principal, role: AccountRole, doing: str) -> None:
    if role.of_keys is not None:
        require_rights(caller, role.of_keys, doing)


@router.post(
    "",
    operation_id="createServiceAccount",
    summary="Create a service account",
    openapi_extra=needs(Permission.API_KEYS_WRITE, AuditEvent.SERVICE_ACCOUNT_CREATED),
)
async def create_account(
    project: Existing, body: CreateServiceAccount, store: Store
) -> NewServiceAccountObject:
    """Create a service account: a program that owns keys of the project. Its first key has the role
    `member`, and its secret is in `api_key.value`, shown only once.
    """
    is_alone = bool(body.create_service_account_only)
    role = AccountRole.NONE if is_alone else AccountRole.MEMBER
    try:
        account = await store.create(project, body.name, role)
    except ProjectArchived as e:
        raise archived_error(project) from e
    key = None
    if not is_alone:
        with audit_trail.recorded_as(AuditEvent.API_KEY_CREATED):
            key = await _new_key(project, account, body.name, body.expires_in_seconds, store)
    return NewServiceAccountObject(
        **ServiceAccountObject.from_record(account).model_dump(), api_key=key
    )


@router.get(
    "",
    operation_id="listServiceAccounts",
    summary="List service accounts",
    openapi_extra=needs(Permission.API_KEYS_READ),
)
async def list_accounts(
    project: Existing, store: Store, paging: Paged
) -> ListOf[ServiceAccountObject]:
    """List the project's service accounts, newest first."""
    page = store.records.page(project.id, **paging.bounds)
    return await SERVICE_ACCOUNT.list(page, ServiceAccountObject.from_record)


@router.get(
    "/{service_account_id}",
    operation_id="getServiceAccount",
    summary="Retrieve a service account",
    openapi_extra=needs(Permission.API_KEYS_READ),
)
async def retrieve_account(account: Account) -> ServiceAccountObject:
    """Retrieve a service account."""
    return ServiceAccountObject.from_record(account)


@router.post(
    "/{service_account_id}",
    operation_id="updateServiceAccount",
    summary="Update a service account",
    openapi_extra=needs(Permission.API_KEYS_WRITE, AuditEvent.SERVICE_ACCOUNT_UPDATED),
)
async def update_account(
    account: Account, body: UpdateServiceAccount, store: Store, caller: Caller
) -> ServiceAccountObject:
    """Change the name or the role of a service account. A new role applies to all of its keys,
    including those whose role was changed with `updateApiKey`.
    """
    role = None if body.role is None else AccountRole(body.role)
    for required in (account.role, role):
        if required is not None:
            _require_rights_of(caller, required, "change")
    with SERVICE_ACCOUNT.existing(account.id):
        return ServiceAccountObject.from_record(await store.update(account, body.name, role))


@router.delete(
    "/{service_account_id}",
    operation_id="deleteServiceAccount",
    summary="Delete a service account",
    openapi_extra=needs(Permission.API_KEYS_WRITE, AuditEvent.SERVICE_ACCOUNT_DELETED),
)
async def delete_account(account: Account, store: Store, caller: Caller) -> Deleted:
    """Delete a service account and revoke all of its keys. Everything that they created is kept."""
    for key in await store.keys_of(account):
        require_rights(caller, key.role, "revoke")
    with SERVICE_ACCOUNT.existing(account.id):
        await store.delete(account)
    return deleted(account.id, "organization.project.service_account")


@router.post(
    "/{service_account_id}/api_keys",
    operation_id="createServiceAccountApiKey",
    summary="Create a key of a service account",
    openapi_extra=needs(Permission.API_KEYS_WRITE, AuditEvent.API_KEY_CREATED),
)
async def create_account_key(
    project: Existing,
    account: Account,
    body: Annotated[CreateAccountKey, Body(default_factory=CreateAccountKey)],
    store: Store,
    caller: Caller,
) -> AccountKeyObject:
    """Create another key of a service account, with the account's role. Its secret is in `value`,
    shown only once. Change or revoke it like any other key of the project.
    """
    if account.role is AccountRole.NONE:
        raise Conflict(
            "The service account has no role, so it can have no keys. Give it the role 'member' or "
            "'owner' first.",
            param="service_account_id",
        )
    _require_rights_of(caller, account.role, "create")
    return await _new_key(
        project, account, body.name or account.name, body.expires_in_seconds, store
    )


async def _new_key(
    project: Project,
    account: ServiceAccount,
    name: str,
    expires_in_s: int | None,
    store: ServiceAccounts,
) -> AccountKeyObject:
    try:
        with SERVICE_ACCOUNT.existing(account.id):
            made = await store.create_key(project, account, name, expiry_in(expires_in_s))
    except ProjectArchived as e:
        raise archived_error(project) from e
    return AccountKeyObject.from_record(*made)
