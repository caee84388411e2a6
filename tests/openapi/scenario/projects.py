"""Scenario of projects, their keys, limits and usage."""

from __future__ import annotations

import time
from typing import Any

from service.projects.records import MAX_OLD_SECRETS
from tests.openapi.scenario.data import NO_ACCOUNT, NO_KEY, NO_PROJECT
from tests.openapi.world import World

_LIMITS = {"requests_per_minute": 600, "tokens_per_minute": 60_000}


async def projects(world: World) -> str:
    """Create, list, retrieve and limit projects."""
    made = await world.call(
        "createProject",
        "named",
        "Project with limits",
        key="admin",
        json={"name": "bookshop", "limits": _LIMITS},
    )
    path = {"project_id": made.json()["id"]}
    await world.call("createProject", expect=409, key="admin", json={"name": "bookshop"})
    await world.call("createProject", expect=400, key="admin", json={"name": "Book shop"})
    await world.call("listProjects", "all", key="admin", query={"limit": 20})
    await world.call("listProjects", expect=400, key="admin", query={"after": NO_PROJECT})
    await world.call("getProject", "one", key="admin", path=path)
    limits = {"limits": {"concurrent_streams": 8, "tokens_per_minute": "unlimited"}}
    await world.call(
        "updateProject",
        "limits",
        "Remove one limit and set another; the others are unchanged",
        key="admin",
        path=path,
        json=limits,
    )
    await world.call(
        "updateProject",
        "capture",
        "Store one chat in ten for a week, with personal data replaced",
        key="admin",
        path=path,
        json={"capture": {"sampling": 0.1, "expires_after_days": 7}},
    )
    await world.call(
        "updateProject",
        "delegated",
        "Let the project's own administrators choose which of its chats are stored",
        key="admin",
        path=path,
        json={"capture_managed_by": "project"},
    )
    wrong = {"limits": {"requests_per_minute": 0}}
    await world.call("updateProject", expect=400, key="admin", path=path, json=wrong)
    renamed = {"name": "other"}
    await world.call("updateProject", expect=400, key="admin", path=path, json=renamed)
    await _keys(world, path)
    await _accounts(world, path)
    await _admin_keys(world)
    await _refused(world, path, limits)
    await _ended(world)
    return path["project_id"]


async def _ended(world: World) -> None:
    """Archive a project and delete it, and try that with the caller's own."""
    made = await world.call("createProject", key="admin", json={"name": "old-shop"})
    path = {"project_id": made.json()["id"]}
    await world.call("archiveProject", "archived", key="admin", path=path)
    for operation in ("createApiKey", "createServiceAccount"):
        await world.call(operation, expect=409, key="admin", path=path, json={"name": "new"})
    await world.call("deleteProject", "deleting", key="admin", path=path)
    own = (await world.call("getCaller", key="admin", cut=_unused)).json()["project"]["id"]
    for operation in ("archiveProject", "deleteProject"):
        await world.call(operation, expect=409, key="admin", path={"project_id": own})


async def _keys(world: World, path: dict[str, str]) -> None:
    made = await world.call(
        "createApiKey",
        "member",
        "Member key",
        key="admin",
        path=path,
        json={"name": "backend", "role": "member", "limits": {"requests_per_minute": 60}},
    )
    one = {**path, "key_id": made.json()["id"]}
    await world.call(
        "createApiKey",
        "chatbot",
        "Key of a chatbot, which can only send requests to one model",
        key="admin",
        path=path,
        json={
            "name": "chatbot",
            "role": "inference",
            "models": ["support"],
            "expires_in_seconds": 90 * 24 * 3600,
            "allowed_ips": ["192.0.2.0/24"],
        },
    )
    await world.call("createApiKey", expect=400, key="admin", path=path, json={})
    await world.call("listApiKeys", "one", key="admin", path=path, query={"limit": 20})
    await world.call("listApiKeys", expect=400, key="admin", path=path, query={"after": NO_KEY})
    limits = {"limits": {"requests_per_minute": 120}}
    await world.call("updateApiKey", "limits", "Higher limits", key="admin", path=one, json=limits)
    await world.call(
        "updateApiKey", "role", "Another role", key="admin", path=one, json={"role": "trainer"}
    )
    wrong = {"limits": {"requests_per_minute": "many"}}
    await world.call("updateApiKey", expect=400, key="admin", path=one, json=wrong)
    await world.call("getApiKey", "one", key="admin", path=one)
    await world.call(
        "rotateApiKey",
        "overlap",
        "The secret before it is valid for another hour",
        key="admin",
        path=one,
        json={"overlap_seconds": 3600},
    )
    negative = {"overlap_seconds": -1}
    await world.call("rotateApiKey", expect=400, key="admin", path=one, json=negative)
    kept = {"overlap_seconds": 3600}
    for _ in range(MAX_OLD_SECRETS - 1):  # there is one already
        await world.call("rotateApiKey", key="admin", path=one, json=kept)
    await world.call("rotateApiKey", expect=409, key="admin", path=one, json=kept)
    await world.call("deleteApiKey", "revoked", key="admin", path=one)
    await world.call("getApiKey", expect=404, key="admin", path=one)
    await world.call("rotateApiKey", expect=404, key="admin", path=one, json={})
    await world.call("deleteApiKey", expect=404, key="admin", path=one)
    await world.call("updateApiKey", expect=404, key="admin", path=one, json=limits)


async def _accounts(world: World, path: dict[str, str]) -> None:
    """Create service accounts with keys, change and delete them."""
    made = await world.call(
        "createServiceAccount",
        "member",
        "Account with a key",
        key="admin",
        path=path,
        json={"name": "nightly-training", "expires_in_seconds": 90 * 24 * 3600},
    )
    one = {**path, "service_account_id": made.json()["id"]}
    alone = {"name": "later", "create_service_account_only": True}
    other = await world.call(
        "createServiceAccount", "alone", "Account without a key", key="admin", path=path, json=alone
    )
    without = {**path, "service_account_id": other.json()["id"]}
    await world.call("createServiceAccount", expect=400, key="admin", path=path, json={})
    await world.call("listServiceAccounts", "all", key="admin", path=path, query={"limit": 20})
    wrong = {"after": NO_ACCOUNT}
    await world.call("listServiceAccounts", expect=400, key="admin", path=path, query=wrong)
    await world.call("getServiceAccount", "one", key="admin", path=one)
    operation, second = "createServiceAccountApiKey", {"name": "second"}
    await world.call(operation, "second", "Another key", key="admin", path=one, json=second)
    await world.call(operation, expect=400, key="admin", path=one, json={"name": ""})
    await world.call(operation, expect=409, key="admin", path=without, json={})
    owner = {"role": "owner"}
    await world.call(
        "updateServiceAccount", "owner", "Another role", key="admin", path=one, json=owner
    )
    none = {"role": "none"}
    await world.call("updateServiceAccount", expect=400, key="admin", path=one, json=none)
    await world.call("deleteServiceAccount", "deleted", key="admin", path=one)
    for operation in (
        *("getServiceAccount", "updateServiceAccount", "deleteServiceAccount"),
        "createServiceAccountApiKey",
    ):
        is_get = operation.startswith(("retrieve", "delete"))
        body = None if is_get else {"name": "x"}
        await world.call(operation, expect=404, key="admin", path=one, json=body)


async def _admin_keys(world: World) -> None:
    """Create, list and revoke admin keys."""
    body = {"name": "infrastructure", "expires_in_seconds": 90 * 24 * 3600}
    made = await world.call("createAdminApiKey", "named", "Admin key", key="admin", json=body)
    one = {"key_id": made.json()["id"]}
    await world.call("createAdminApiKey", expect=400, key="admin", json={})
    await world.call("listAdminApiKeys", "all", key="admin", query={"limit": 20}, cut=_never_used)
    await world.call("listAdminApiKeys", expect=400, key="admin", query={"after": NO_KEY})
    await world.call("getAdminApiKey", "one", key="admin", path=one)
    await world.call("deleteAdminApiKey", "revoked", key="admin", path=one)
    for operation in ("getAdminApiKey", "deleteAdminApiKey"):
        await world.call(operation, expect=404, key="admin", path=one)
        await world.call(operation, expect=403, path=one)
    await world.call("createAdminApiKey", expect=403, json=body)
    await world.call("listAdminApiKeys", expect=403)


def _never_used(shown: Any) -> Any:
    """Show no last uses, which are written once a minute."""
    for one in shown["data"]:
        one["last_used_at"] = None
    return shown


async def _refused(world: World, path: dict[str, str], limits: dict[str, Any]) -> None:
    """Use unknown projects, and a key that is not an admin's."""
    key, one = {"name": "backend"}, {**path, "key_id": NO_KEY}
    account = {**path, "service_account_id": NO_ACCOUNT}
    calls = {
        "createProject": ({}, {"name": "bookshop"}),
        "listProjects": ({}, None),
        "getProject": (path, None),
        "updateProject": (path, limits),
        "archiveProject": (path, None),
        "deleteProject": (path, None),
        "createApiKey": (path, key),
        "listApiKeys": (path, None),
        "updateApiKey": (one, limits),
        "getApiKey": (one, None),
        "rotateApiKey": (one, {}),
        "deleteApiKey": (one, None),
        "createServiceAccount": (path, key),
        "listServiceAccounts": (path, None),
        "getServiceAccount": (account, None),
        "updateServiceAccount": (account, key),
        "deleteServiceAccount": (account, None),
        "createServiceAccountApiKey": (account, key),
    }
    for operation, (at, body) in calls.items():
        await world.call(operation, expect=403, path=at, json=body)
        if at:
            unknown = {**at, "project_id": NO_PROJECT}
            await world.call(operation, expect=404, key="admin", path=unknown, json=body)


async def audit_log(world: World, project_id: str) -> None:
    """Read what the other scenarios left in the audit log."""
    operation = "listAuditLogs"
    created = {"event_types": ["api_key.created"], "project_ids": [project_id], "limit": 1}
    page = await world.call(
        operation, "created", "The newest key", key="admin", query=created, cut=_from_anywhere
    )
    older = {**created, "after": page.json()["last_id"]}
    await world.call(
        operation, "older", "The key before it", key="admin", query=older, cut=_from_anywhere
    )
    await world.call(operation, expect=400, key="admin", query={"after": "audit_log-x"})
    await world.call(operation, expect=403)


async def verification(world: World) -> None:
    """Verify the audit log."""
    operation = "verifyAuditLogs"
    await world.call(operation, "intact", key="admin", json={"kept_days": 400}, cut=_sealed)
    for wrong in ({"kept_days": 0}, {"public_keys": ["x"]}):
        await world.call(operation, expect=400, key="admin", json=wrong)
    await world.call(operation, expect=403, json={})


def _sealed(shown: Any) -> Any:
    """Show a log of a fixed number of entries."""
    entry_id = "audit_log-019abc0de1f4k2m9x7q3w8z5"
    sealed = {"number": 12, "entries": 3456, "at": 1_767_225_600, "last_entry_id": entry_id}
    shown |= {"status": "intact", "sealed": sealed, "entries_unsealed": 7}
    return {**shown, "entries_deleted": 0, "problems": [], "notes": []}


def _from_anywhere(shown: Any) -> Any:
    """Show requests as from another program, whose version does not change."""
    for entry in shown["data"]:
        entry["request"] |= {"id": "req_1", "ip_address": "192.0.2.7", "user_agent": "portal/1.0"}
    return shown


async def caller(world: World) -> None:
    """Retrieve the API key of the request."""
    await world.call("getCaller", "member", "Member key", cut=_unused)


async def session(world: World) -> None:
    """Sign in with a key, as a page does, and sign out."""
    await world.call("listSignInMethods", "key_only", key=None)
    signed_in = await world.call("createSession", "signed_in", cut=_unused_by_caller)
    cookie = {"cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    token = {"x-csrf-token": signed_in.json()["csrf_token"]}
    operation = "getSession"
    await world.call(operation, "current", key=None, headers=cookie, cut=_unused_by_caller)
    for operation in ("getSession", "deleteSession"):
        await world.call(operation, expect=404)
        other = {**cookie, **token, "sec-fetch-site": "cross-site"}
        await world.call(operation, expect=403, key=None, headers=other)
    await world.call(operation, expect=403, key=None, headers=cookie)
    await world.call(operation, "signed_out", key=None, headers={**cookie, **token})
    await world.call(operation, expect=401, key=None, headers={**cookie, **token})


def _unused_by_caller(shown: Any) -> Any:
    """Show that nothing is used."""
    return {**shown, "caller": _unused(shown["caller"])}


def _unused(shown: Any) -> Any:
    """Show that nothing is used. What is counted depends on when the last requests ended."""
    shown["api_key"]["last_used_at"] = shown["api_key"]["created_at"]  # written once a minute
    for limits in ("api_key_limits", "project_limits"):
        for one in shown[limits].values():
            one["used"] = 0
    shown["project"]["storage_bytes_used"], shown["project_storage"] = 0, {}
    return shown


async def usage(world: World) -> None:
    """Provoke refused usage requests. Responses with usage come from a serving installation."""
    operation, now_s = "getCompletionsUsage", int(time.time())
    await world.call(operation, query={"start_time": now_s - 3600})
    await world.call(operation, expect=400)
    await world.call(operation, expect=400, query={"start_time": now_s, "bucket_width": "2h"})
    wrong = {"start_time": 1767225600, "end_time": 1767222000}
    await world.call(operation, expect=400, query=wrong)
