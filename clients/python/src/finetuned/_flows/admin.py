"""Projects and API keys. All methods require an admin key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from finetuned._flows.common import at, listed
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, fetch
from finetuned.types import Deleted, KeyObject, Limits, NewKeyObject, ProjectObject

_PROJECTS = ("organization", "projects")
Wanted = Limits | Mapping[str, Any]


def list_projects(*, limit: int | None = None, after: str | None = None) -> Items[ProjectObject]:
    """List all projects of the installation, newest first."""
    return listed(ProjectObject, at(*_PROJECTS), limit=limit, after=after)


def create_project(name: str, *, limits: Wanted | None = None) -> Flow[ProjectObject]:
    """Create a project. Project names are never reused."""
    request = Request("POST", at(*_PROJECTS), json=body_of(name=name, limits=limits))
    return fetch(ProjectObject, request)


def retrieve_project(project_id: str) -> Flow[ProjectObject]:
    """Retrieve a project."""
    return fetch(ProjectObject, Request("GET", at(*_PROJECTS, project_id)))


def limit_project(project_id: str, limits: Wanted) -> Flow[ProjectObject]:
    """Set inference limits across all keys of a project. Omitted limits are unchanged.

    None restores the installation's default; "unlimited" removes that limit too.
    """
    request = Request(
        "POST", at(*_PROJECTS, project_id), json=body_of(limits=limits), repeatable=True
    )
    return fetch(ProjectObject, request)


def list_keys(
    project_id: str, *, limit: int | None = None, after: str | None = None
) -> Items[KeyObject]:
    """List a project's API keys, without their secrets."""
    return listed(KeyObject, at(*_PROJECTS, project_id, "api_keys"), limit=limit, after=after)


def create_key(
    project_id: str,
    name: str,
    *,
    role: Literal["member", "admin"] = "member",
    limits: Wanted | None = None,
) -> Flow[NewKeyObject]:
    """Create an API key. `value` is the secret, which is returned only once."""
    body = body_of(name=name, role=role, limits=limits)
    return fetch(NewKeyObject, Request("POST", at(*_PROJECTS, project_id, "api_keys"), json=body))


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
