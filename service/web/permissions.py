"""Decides which role may do what: roles, their permissions, and the declarations of routes.

A route declares its permission in the decorator, `openapi_extra=needs(Permission.FILES_READ)`, and
`deps.principal` compares it with the caller's role. A route without a permission cannot be used. A
route that changes something or reads training data also declares its event in the audit log:
`needs(Permission.FILES_WRITE, AuditEvent.FILE_CREATED)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from starlette.routing import BaseRoute

from service.core.errors import Forbidden
from service.core.redis import Purpose
from service.web.audit_events import AuditEvent

EXTENSION: Final = "x-permission"
"""Name under which openapi.json states the permission that an operation needs."""

EVENT: Final = "x-audit-event"
"""Name under which openapi.json states the type of the audit log's entry about an operation."""

# Suffixes of events that remove, stop or secure something, or that one needs for that.
_RELEASING: Final = (
    *(".deleted", ".cancelled", ".archived", ".unshared", ".rotated", ".paused", ".resumed"),
    *(".rolled_back", AuditEvent.API_KEY_UPDATED, AuditEvent.SESSION_CREATED),
)


class Role(StrEnum):
    """Role of a key. It determines what the key may do in its project and, for `admin` and
    `auditor`, in the whole installation.
    """

    ADMIN = "admin"
    PROJECT_ADMIN = "project_admin"
    MEMBER = "member"
    TRAINER = "trainer"
    INFERENCE = "inference"
    READER = "reader"
    AUDITOR = "auditor"


class Permission(StrEnum):
    """What a route can need. `read` changes nothing."""

    CALLER_READ = "caller.read"  # the key itself, its project, and the use of their limits
    MODEL_REQUEST = "model.request"
    MODEL_READ = "model.read"
    MODEL_WRITE = "model.write"  # import and delete models
    MODEL_APPROVE = "model.approve"  # as the second person, in projects with four_eyes
    MODEL_SHARE = "model.share"  # let other projects use a model
    ALIASES_READ = "aliases.read"
    ALIASES_WRITE = "aliases.write"
    FILES_READ = "files.read"  # names, sizes and states, but no contents
    FILES_WRITE = "files.write"
    DATA_READ = "data.read"  # contents: rows, reports, answers, weights; own labels of answers
    DATA_ERASE = "data.erase"  # find rows in all files, and erase them
    FINE_TUNING_READ = "fine_tuning.read"
    FINE_TUNING_WRITE = "fine_tuning.write"
    EVALS_READ = "evals.read"
    EVALS_WRITE = "evals.write"
    BATCHES_READ = "batches.read"
    BATCHES_WRITE = "batches.write"
    EXPORTS_READ = "exports.read"
    EXPORTS_WRITE = "exports.write"
    WEBHOOKS_READ = "webhooks.read"
    WEBHOOKS_WRITE = "webhooks.write"
    USAGE_READ = "usage.read"
    PROJECT_READ = "project.read"
    PROJECT_WRITE = "project.write"  # end the storage of chats; begin it if that is delegated
    API_KEYS_READ = "api_keys.read"  # without their secrets
    API_KEYS_WRITE = "api_keys.write"
    AUDIT_LOGS_READ = "audit_logs.read"
    ORGANIZATION_READ = "organization.read"  # the projects, keys and usage of all tenants
    ORGANIZATION_WRITE = "organization.write"


_P = Permission
_INFERENCE = frozenset({_P.CALLER_READ, _P.MODEL_READ, _P.MODEL_REQUEST})
_RECORDS = frozenset(
    {_P.CALLER_READ, _P.MODEL_READ, _P.ALIASES_READ, _P.FILES_READ, _P.FINE_TUNING_READ}
    | {_P.EVALS_READ, _P.BATCHES_READ, _P.EXPORTS_READ, _P.WEBHOOKS_READ, _P.USAGE_READ}
)
_READER = _RECORDS | {_P.DATA_READ}
_TRAINER = (
    _READER | _INFERENCE | {_P.FILES_WRITE, _P.FINE_TUNING_WRITE, _P.EVALS_WRITE, _P.BATCHES_WRITE}
)
_MEMBER = _TRAINER | {
    *(_P.MODEL_WRITE, _P.MODEL_APPROVE, _P.ALIASES_WRITE, _P.EXPORTS_WRITE, _P.WEBHOOKS_WRITE),
}
_PROJECT_ADMIN = _MEMBER | {
    *(_P.PROJECT_READ, _P.PROJECT_WRITE, _P.API_KEYS_READ, _P.API_KEYS_WRITE),
    *(_P.AUDIT_LOGS_READ, _P.DATA_ERASE, _P.MODEL_SHARE),
}

# Administrators must be able to do this even if the memory of Redis is full.
_ADMINISTRATIVE = frozenset({_P.ORGANIZATION_WRITE, _P.PROJECT_WRITE, _P.DATA_ERASE})

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.ADMIN: frozenset(Permission),
        Role.PROJECT_ADMIN: _PROJECT_ADMIN,
        Role.MEMBER: _MEMBER,
        Role.TRAINER: _TRAINER,
        Role.INFERENCE: _INFERENCE,
        Role.READER: _READER,
        Role.AUDITOR: _RECORDS
        | {_P.PROJECT_READ, _P.API_KEYS_READ, _P.AUDIT_LOGS_READ, _P.ORGANIZATION_READ},
    }
)


def needs(permission: Permission, event: AuditEvent | None = None, **extra: Any) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that needs a permission, and leaves an audit event.

    `extra` is added to it.
    """
    recorded = {} if event is None else {EVENT: event.value}
    return {EXTENSION: permission.value, **recorded, **extra}


def needed_by(route: BaseRoute) -> Permission | None:
    """Return the permission that a route declares, or None."""
    declared = (getattr(route, "openapi_extra", None) or {}).get(EXTENSION)
    return None if declared is None else Permission(declared)


def event_of(route: BaseRoute) -> AuditEvent | None:
    """Return the type of the audit log's entry about requests to a route, or None."""
    declared = (getattr(route, "openapi_extra", None) or {}).get(EVENT)
    return None if declared is None else AuditEvent(declared)


def purpose_of(route: BaseRoute) -> Purpose:
    """Return the purpose of a route's writes: to create something, unless it releases something."""
    if needed_by(route) in _ADMINISTRATIVE or (event_of(route) or "").endswith(_RELEASING):
        return Purpose.RELEASE
    return Purpose.CREATE


def missing(role: Role, permission: Permission) -> Forbidden:
    """Return the error of a key whose role lacks a permission."""
    roles = [other.value for other in Role if permission in PERMISSIONS[other]]
    return Forbidden(
        "You have insufficient permissions for this operation. "
        f"Missing scopes: {permission}. The API key has the role '{role}'; "
        f"use a key with the role {_either(roles)}."
    )


def _either(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))
