"""`GET /v1/organization/audit_logs`."""

from __future__ import annotations

import math
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Query

from service.audit.schemas import AuditLogObject
from service.audit.search import AuditLog, Filters, UnknownCursor
from service.core.errors import BadRequest
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, list_query, resource
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, list_of

router = APIRouter(prefix="/v1/organization", tags=["Audit log"])

Log = Annotated[AuditLog, Depends(resource("audit_log"))]
Text = Annotated[str, Query(max_length=512)]
Time = Annotated[int, Query(ge=0, le=253_402_300_799)]
Texts: TypeAlias = frozenset[str] | None


async def _times(
    gt: Annotated[
        Time | None, Query(alias="effective_at[gt]", description="Only entries after this time.")
    ] = None,
    gte: Annotated[
        Time | None,
        Query(alias="effective_at[gte]", description="Only entries at this time or later."),
    ] = None,
    lt: Annotated[
        Time | None, Query(alias="effective_at[lt]", description="Only entries before this time.")
    ] = None,
    lte: Annotated[
        Time | None,
        Query(alias="effective_at[lte]", description="Only entries at this time or earlier."),
    ] = None,
) -> tuple[float, float]:
    """Return the earliest time of entries, and the end of the period.

    Times are shown in whole seconds, so they are compared in whole seconds.
    """
    since = [0, *([] if gt is None else [gt + 1]), *([] if gte is None else [gte])]
    until = [*([] if lt is None else [lt]), *([] if lte is None else [lte + 1])]
    return max(since), min(until, default=math.inf)


async def _projects(
    caller: Caller,
    requested: Annotated[Texts, list_query(Text, "project_ids", "Projects to filter by.")],
) -> Texts:
    """Return the requested projects that the caller may see; None for all."""
    if caller.may(Permission.ORGANIZATION_READ):
        return requested
    own = frozenset([caller.project_id])
    return own if requested is None else own & requested


async def _filters(
    times: Annotated[tuple[float, float], Depends(_times)],
    projects: Annotated[Texts, Depends(_projects)],
    event_types: Annotated[Texts, list_query(Text, "event_types", "Types of events to filter by.")],
    actor_ids: Annotated[Texts, list_query(Text, "actor_ids", "IDs of API keys to filter by.")],
    resource_ids: Annotated[
        Texts,
        list_query(
            Text,
            "resource_ids",
            "IDs of files, jobs, models, keys and other objects to filter by.",
        ),
    ],
) -> Filters:
    since, until = times
    return Filters(
        since=since,
        until=until,
        project_ids=projects,
        event_types=event_types,
        actor_ids=actor_ids,
        resource_ids=resource_ids,
    )


Emails = Annotated[
    Texts, list_query(Text, "actor_emails", "Email addresses of users. The service has no users.")
]


@router.get(
    "/audit_logs",
    operation_id="listAuditLogs",
    summary="List entries of the audit log",
    openapi_extra=needs(Permission.AUDIT_LOGS_READ, AuditEvent.AUDIT_LOGS_READ),
)
async def list_audit_logs(
    log: Log,
    filters: Annotated[Filters, Depends(_filters)],
    emails: Emails,
    tenant_only: Annotated[
        bool, Query(description="Whether to return only tenant events. The service has none.")
    ] = False,
    after: Annotated[str | None, Query(max_length=64)] = None,
    before: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Cursor for pagination: the `first_id` of a page, to get the one before.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ListOf[AuditLogObject]:
    """List the entries of the audit log, newest first: changes, reads of training data, and
    rejected keys and permissions. Requests to models are counted by key and minute.

    Keys with the role `admin` or `auditor` see the entries of all projects, and keys with the role
    `project_admin` those of their own.
    """
    if emails or tenant_only:
        return list_of([], has_more=False)
    try:
        found = await log.find(filters, after=after, before=before, limit=limit)
    except UnknownCursor as e:
        param = "after" if after is not None else "before"
        raise BadRequest(
            f"No entry has the id given in '{param}'.", param=param, code="invalid_cursor"
        ) from e
    audit_trail.count(entries=len(found.entries))
    return list_of(list(map(AuditLogObject.from_entry, found.entries)), found.has_more)
