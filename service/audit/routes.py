"""`GET /v1/organization/audit_logs`."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.audit.log import AuditLog, Filters, UnknownCursor
from service.audit.schemas import AuditLogObject
from service.core.errors import BadRequest
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, list_of

router = APIRouter(prefix="/v1/organization", tags=["Audit log"])

Log = Annotated[AuditLog, Depends(resource("audit_log"))]
Text = Annotated[str, Query(max_length=512)]
# SDKs encode lists as `project_ids[]=a&project_ids[]=b`; curl and others without the brackets.
Texts = Annotated[list[Text], Query(max_length=100)]
Time = Annotated[int, Query(ge=0, le=253_402_300_799)]


def _times(
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
    """The first time of entries, and the time after the last. Times of entries are shown as whole
    seconds, so a second is compared as a whole."""
    since = [0, *([] if gt is None else [gt + 1]), *([] if gte is None else [gte])]
    until = [*([] if lt is None else [lt]), *([] if lte is None else [lte + 1])]
    return max(since), min(until, default=math.inf)


def _projects(
    caller: Caller,
    project_ids: Annotated[Texts, Query(description="Projects to filter by.")] = [],  # noqa: B006
    project_ids_: Annotated[
        list[Text], Query(alias="project_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
) -> frozenset[str] | None:
    """The requested projects that the caller may see; None for all."""
    requested = _given(project_ids, project_ids_)
    if caller.may(Permission.ORGANIZATION_READ):
        return requested
    own = frozenset([caller.project_id])
    return own if requested is None else own & requested


def _filters(
    times: Annotated[tuple[float, float], Depends(_times)],
    projects: Annotated[frozenset[str] | None, Depends(_projects)],
    event_types: Annotated[Texts, Query(description="Types of events to filter by.")] = [],  # noqa: B006
    event_types_: Annotated[
        list[Text], Query(alias="event_types[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
    actor_ids: Annotated[Texts, Query(description="IDs of API keys to filter by.")] = [],  # noqa: B006
    actor_ids_: Annotated[
        list[Text], Query(alias="actor_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
    resource_ids: Annotated[
        Texts, Query(description="IDs of files, jobs, models, keys and other objects to filter by.")
    ] = [],  # noqa: B006
    resource_ids_: Annotated[
        list[Text], Query(alias="resource_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
) -> Filters:
    since, until = times
    return Filters(
        since=since,
        until=until,
        project_ids=projects,
        event_types=_given(event_types, event_types_),
        actor_ids=_given(actor_ids, actor_ids_),
        resource_ids=_given(resource_ids, resource_ids_),
    )


def _matches_nothing(
    actor_emails: Annotated[
        Texts, Query(description="Email addresses of users. There are no users.")
    ] = [],  # noqa: B006
    actor_emails_: Annotated[
        list[Text], Query(alias="actor_emails[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
    tenant_only: Annotated[
        bool, Query(description="Whether to return only events of a tenant. There are none.")
    ] = False,
) -> bool:
    return tenant_only or bool(actor_emails or actor_emails_)


@router.get(
    "/audit_logs",
    operation_id="listAuditLogs",
    summary="List entries of the audit log",
    openapi_extra=needs(Permission.AUDIT_LOGS_READ, AuditEvent.AUDIT_LOGS_READ),
)
async def list_audit_logs(
    log: Log,
    filters: Annotated[Filters, Depends(_filters)],
    matches_nothing: Annotated[bool, Depends(_matches_nothing)],
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
    """List who did what, and from where, newest first: changes, reads of training data, refused
    keys and permissions. Requests to models are counted by key and minute.

    Keys with the role `admin` or `auditor` see the entries of all projects, and keys with the role
    `project_admin` those of their own.
    """
    if matches_nothing:
        return list_of([], has_more=False)
    try:
        found = await log.find(filters, after=after, before=before, limit=limit)
    except UnknownCursor as e:
        param = "after" if after is not None else "before"
        raise BadRequest(f"No entry has the id given in '{param}'.", param=param) from e
    audit_trail.count(entries=len(found.entries))
    return list_of(list(map(AuditLogObject.from_entry, found.entries)), found.has_more)


def _given(*lists: list[str]) -> frozenset[str] | None:
    """The values of a parameter in either encoding; None if it was not given."""
    values = frozenset(value for values in lists for value in values)
    return values or None
