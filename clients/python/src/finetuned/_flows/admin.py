"""Projects, API keys and the audit log.

Keys with the role `project_admin` manage the keys of their project and read its entries of the
audit log, and `auditor` reads all of them; all else needs `admin`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from finetuned._flows.common import at, listed
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, fetch
from finetuned.types import (
    AuditLogObject,
    CaptureSettings,
    Deleted,
    KeyObject,
    Limits,
    NewKeyObject,
    ProjectLimits,
    ProjectObject,
)

_PROJECTS = ("organization", "projects")
Wanted = Limits | ProjectLimits | Mapping[str, Any]
KeyRole = Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]


def list_projects(
    *, include_archived: bool | None = None, limit: int | None = None, after: str | None = None
) -> Items[ProjectObject]:
    """List all projects of the installation, newest first."""
    params = body_of(include_archived=include_archived)
    return listed(ProjectObject, at(*_PROJECTS), limit=limit, after=after, params=params)


def create_project(name: str, *, limits: Wanted | None = None) -> Flow[ProjectObject]:
    """Create a project. Project names are never reused."""
    request = Request("POST", at(*_PROJECTS), json=body_of(name=name, limits=limits))
    return fetch(ProjectObject, request)


def retrieve_project(project_id: str) -> Flow[ProjectObject]:
    """Retrieve a project."""
    return fetch(ProjectObject, Request("GET", at(*_PROJECTS, project_id)))


def limit_project(project_id: str, limits: Wanted) -> Flow[ProjectObject]:
    """Set limits across all keys of a project, and its quotas. Omitted ones are unchanged.

    None restores the installation's default; "unlimited" removes that limit too.
    """
    request = Request(
        "POST", at(*_PROJECTS, project_id), json=body_of(limits=limits), repeatable=True
    )
    return fetch(ProjectObject, request)


def capture_chats(
    project_id: str, capture: CaptureSettings | Mapping[str, Any] | None
) -> Flow[ProjectObject]:
    """Store chats of a project from now on, with personal data replaced. None stops it.

    Chats that are stored stay until they expire or are deleted.
    """
    sent = capture.model_dump() if isinstance(capture, CaptureSettings) else capture
    request = Request("POST", at(*_PROJECTS, project_id), json={"capture": sent}, repeatable=True)
    return fetch(ProjectObject, request)


def delegate_capture(
    project_id: str, to: Literal["organization", "project"]
) -> Flow[ProjectObject]:
    """Let the admins of a project store its chats (`project`), or only you (`organization`).

    Keys with the role `project_admin` may always stop the storage.
    """
    body = {"capture_managed_by": to}
    request = Request("POST", at(*_PROJECTS, project_id), json=body, repeatable=True)
    return fetch(ProjectObject, request)


def archive_project(project_id: str) -> Flow[ProjectObject]:
    """Archive a project for good: its keys are refused. Its data is kept."""
    request = Request("POST", at(*_PROJECTS, project_id, "archive"), repeatable=True)
    return fetch(ProjectObject, request)


def delete_project(project_id: str) -> Flow[ProjectObject]:
    """Delete a project with all that it has, in the background. This cannot be undone."""
    return fetch(ProjectObject, Request("DELETE", at(*_PROJECTS, project_id)))


def list_keys(
    project_id: str, *, limit: int | None = None, after: str | None = None
) -> Items[KeyObject]:
    """List a project's API keys, without their secrets."""
    return listed(KeyObject, at(*_PROJECTS, project_id, "api_keys"), limit=limit, after=after)


def create_key(
    project_id: str,
    name: str,
    *,
    role: KeyRole = "member",
    models: Sequence[str] | None = None,
    expires_in_seconds: int | None = None,
    allowed_ips: Sequence[str] | None = None,
    limits: Wanted | None = None,
) -> Flow[NewKeyObject]:
    """Create an API key. `value` is the secret, which is returned only once.

    With the role `inference`, `models` lists the only names that it may request models by.
    `allowed_ips` are the addresses and CIDR ranges that its requests may come from.
    """
    body = body_of(
        name=name,
        role=role,
        models=models,
        expires_in_seconds=expires_in_seconds,
        allowed_ips=allowed_ips,
        limits=limits,
    )
    return fetch(NewKeyObject, Request("POST", at(*_PROJECTS, project_id, "api_keys"), json=body))


def update_key(
    project_id: str,
    key_id: str,
    *,
    name: str | None = None,
    role: KeyRole | None = None,
    models: Sequence[str] | Literal["all"] | None = None,
    expires_in_seconds: int | Literal["never"] | None = None,
    allowed_ips: Sequence[str] | Literal["all"] | None = None,
    limits: Wanted | None = None,
) -> Flow[KeyObject]:
    """Update a key. What is None is unchanged.

    "all" allows all models or addresses, "never" removes the expiry.
    """
    body = body_of(name=name, role=role, limits=limits)
    if models is not None:
        body["models"] = None if models == "all" else list(models)
    if allowed_ips is not None:
        body["allowed_ips"] = None if allowed_ips == "all" else list(allowed_ips)
    if expires_in_seconds is not None:
        body["expires_in_seconds"] = None if expires_in_seconds == "never" else expires_in_seconds
    path = at(*_PROJECTS, project_id, "api_keys", key_id)
    return fetch(KeyObject, Request("POST", path, json=body, repeatable=True))


def retrieve_key(project_id: str, key_id: str) -> Flow[KeyObject]:
    """Retrieve an API key without its secret."""
    return fetch(KeyObject, Request("GET", at(*_PROJECTS, project_id, "api_keys", key_id)))


def rotate_key(
    project_id: str, key_id: str, *, overlap_seconds: int | None = None
) -> Flow[NewKeyObject]:
    """Replace the secret of an API key. `value` is the new one, which is returned only once.

    The secrets before it stay valid for `overlap_seconds`, by default a day.
    """
    path = at(*_PROJECTS, project_id, "api_keys", key_id, "rotate")
    return fetch(NewKeyObject, Request("POST", path, json=body_of(overlap_seconds=overlap_seconds)))


def limit_key(project_id: str, key_id: str, limits: Wanted) -> Flow[KeyObject]:
    """Set inference limits of one key, within its project's. Omitted limits are unchanged."""
    request = Request(
        "POST",
        at(*_PROJECTS, project_id, "api_keys", key_id),
        json=body_of(limits=limits),
        repeatable=True,
    )
    return fetch(KeyObject, request)


def revoke_key(project_id: str, key_id: str) -> Flow[Deleted]:
    """Revoke an API key. It stops working everywhere within seconds."""
    return fetch(Deleted, Request("DELETE", at(*_PROJECTS, project_id, "api_keys", key_id)))


def list_audit_logs(
    *,
    since: int | datetime | None = None,
    until: int | datetime | None = None,
    event_types: Sequence[str] = (),
    project_ids: Sequence[str] = (),
    actor_ids: Sequence[str] = (),
    resource_ids: Sequence[str] = (),
    limit: int | None = None,
    after: str | None = None,
) -> Items[AuditLogObject]:
    """List who did what, and from where, newest first.

    `since` is inclusive, and `until` is not. `actor_ids` are IDs of keys, and `resource_ids` those
    of files, jobs, models and so on. A key with the role `project_admin` sees its own project.
    """
    params: dict[str, Any] = {
        "effective_at[gte]": _seconds(since),
        "effective_at[lt]": _seconds(until),
        "event_types": list(event_types),
        "project_ids": list(project_ids),
        "actor_ids": list(actor_ids),
        "resource_ids": list(resource_ids),
    }
    path = at("organization", "audit_logs")
    return listed(AuditLogObject, path, limit=limit, after=after, params=params)


def _seconds(time: int | datetime | None) -> int | None:
    return int(time.timestamp()) if isinstance(time, datetime) else time
