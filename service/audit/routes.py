"""`/v1/organization/audit_logs`: entries of the audit log, and its verification."""

from __future__ import annotations

import contextlib
import math
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Query

from service.audit.checkpoints import BadCheckpoint, Checkpoint
from service.audit.schemas import AuditLogObject, AuditLogVerification, VerifyAuditLogs
from service.audit.sealer import HEAD
from service.audit.search import AuditLog, Filters, UnknownCursor
from service.audit.verify import KeyMissing, verify
from service.config import Settings
from service.core import clock
from service.core.backpressure import Slots
from service.core.encryption.signing import PublicKey, SigningKeyError, from_file
from service.core.errors import BadRequest, Conflict, RateLimited
from service.core.redis import reply, text
from service.core.storage import Storage
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import STREAM
from service.web.deps import AppSettings, Caller, RedisClient, list_query, resource
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


MAX_ENTRIES: Final = 3_000_000
"""Entries that the API verifies. Their IDs take 0.15 GB of memory per million."""


def verifications() -> Slots:
    """Return the slot of an API process for a verification, which reads the whole log."""

    def refusal() -> RateLimited:
        return RateLimited(
            "This API process verifies the audit log already. Try again in a minute.",
            code="limit_reached",
            headers={"retry-after": "60"},
        )

    return Slots(1, refusal, wait_s=0)


Verifying = Annotated[Slots, Depends(resource("audit_verifications"))]
InStorage = Annotated[Storage, Depends(resource("storage"))]


@router.post(
    "/audit_logs/verify",
    operation_id="verifyAuditLogs",
    summary="Verify the audit log",
    openapi_extra=needs(Permission.ORGANIZATION_READ, AuditEvent.AUDIT_LOGS_VERIFIED),
)
async def verify_audit_logs(
    caller: Caller,
    redis: RedisClient,
    storage: InStorage,
    settings: AppSettings,
    verifying: Verifying,
    body: VerifyAuditLogs | None = None,
) -> AuditLogVerification:
    """Check that no sealed entry of the audit log was changed, deleted, added or moved, as
    `finetuned-server audit verify` does. It reads the whole log, which takes about 20 seconds per
    million entries; an API process does one verification at a time.

    An API that was taken over can answer anything. So an auditor who does not trust it keeps the
    public key and checkpoints elsewhere, and verifies a copy of the storage on the command line.
    """
    body = body or VerifyAuditLogs()
    keys = [_public_key(pem) for pem in body.public_keys] or [_own_key(settings)]
    known = list(body.checkpoints)
    if (head := await reply(redis.get(HEAD))) is not None:
        known.append(text(head))
        _require_size(text(head))
    async with verifying.hold(caller.project_id):
        try:
            found = await verify(
                storage,
                keys,
                known,
                least_days=body.kept_days or 0,
                unstated_days=body.kept_days or settings.audit_kept_days,
            )
        except KeyMissing as e:
            raise Conflict(f"The audit log was not verified: {e}.", code="not_verifiable") from e
    unsealed = await redis.xlen(STREAM)
    return AuditLogVerification.from_findings(found, unsealed=unsealed, now_s=clock.now_s())


def _require_size(head: str) -> None:
    """Raise Conflict if the log has too many entries to verify in the memory of an API process."""
    with contextlib.suppress(BadCheckpoint):  # which the verification reports
        newest = Checkpoint.parse(head)
        if (entries := newest.size - newest.pruned) > MAX_ENTRIES:
            raise Conflict(
                f"The audit log has {entries:,} entries, and the API verifies at most "
                f"{MAX_ENTRIES:,}. Run 'finetuned-server audit verify' on the command line.",
                code="not_verifiable",
            )


def _public_key(pem: str) -> PublicKey:
    try:
        return PublicKey.from_pem(pem.encode())
    except SigningKeyError as e:
        raise BadRequest(f"A key cannot be used: {e}.", param="public_keys") from e


def _own_key(settings: Settings) -> PublicKey:
    """Return the public key of this installation. Raises Conflict if this process has no file."""
    try:
        return from_file(settings.signing_key).public
    except SigningKeyError as e:
        raise Conflict(
            "This API process does not have the signing key of the installation, which belongs to "
            "the workers. Send its public key in 'public_keys': 'finetuned-server audit key' "
            "prints it.",
            param="public_keys",
            code="not_verifiable",
        ) from e
