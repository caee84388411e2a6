"""Wire types of the audit log, in the format of OpenAI's."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.audit.verify import Findings
from service.web.audit_events import AuditEvent
from service.web.audit_trail import Entry, Outcome

_DENIALS = (AuditEvent.LOGIN_FAILED, AuditEvent.ACCESS_DENIED)


class ActorKey(BaseModel):
    """API key that was used."""

    id: str = Field(description="ID of the key.", examples=["key_abc123"])
    project_id: str = Field(description="ID of the key's project.", examples=["proj_abc123"])
    role: str = Field(description="Role that the key had.", examples=["member"])


class ActorUser(BaseModel):
    """Actor without an API key: `operator` for commands on the server, or `finetuned` for the
    service itself.
    """

    id: str | None = Field(description="Name of the actor; null for an unknown one.")


class ActorSession(BaseModel):
    """Session of an actor without a valid API key."""

    ip_address: str | None = Field(description="Address that the request came from.")
    user: ActorUser


class AuditActor(BaseModel):
    """Actor of an event: an API key, or a session without one."""

    type: Literal["api_key", "session"] = Field(
        description="Type of the actor. `api_key`: a valid key was sent. `session`: none was."
    )
    api_key: ActorKey | None = None
    session: ActorSession | None = None

    @classmethod
    def from_entry(cls, entry: Entry) -> Self:
        """Build the actor of an entry."""
        actor = entry.actor
        if actor.kind == "api_key":
            key = ActorKey(id=actor.id, project_id=actor.project_id, role=actor.role)
            return cls(type="api_key", api_key=key)
        session = ActorSession(
            ip_address=entry.origin.address or None, user=ActorUser(id=actor.id or None)
        )
        return cls(type="session", session=session)


class AuditProject(BaseModel):
    """Project that the entry is about."""

    id: str = Field(examples=["proj_abc123"], description="ID of the project.")


class AuditRequest(BaseModel):
    """Request that the entry is about."""

    id: str | None = Field(description="ID of the request, which is also in the service's logs.")
    ip_address: str | None = Field(description="Address that the request came from.")
    user_agent: str | None = Field(description="First 200 characters of the `User-Agent` header.")
    operation: str | None = Field(
        description="Operation in this API description, or path of the request.",
        examples=["createApiKey"],
    )


class AuditResult(BaseModel):
    """Result of the request.

    `applied`: the change was made, and this entry was written in the same transaction. `accepted`:
    the request was passed on to an engine, and this entry was written before. `succeeded`,
    `refused` (a status of 400 to 499) or `failed` (500 or more): how the request was answered.
    """

    outcome: Outcome = Field(description="Outcome of the request.")
    status: int | None = Field(
        description="HTTP status of the answer; null if `applied` or `accepted`."
    )
    code: str | None = Field(description="Error code of the answer, if known.")


class AuditLogObject(BaseModel):
    """Entry of the audit log.

    As in OpenAI's format, a field named after the entry's `type` has the `id` of the object, or the
    `error_code` of a rejection. Entries contain IDs and numbers, and the reason
    of an override, never content.
    """

    model_config = ConfigDict(extra="allow")

    object: Literal["organization.audit_log"] = "organization.audit_log"
    id: str = Field(examples=["audit_log-019abc0de1f4k2m9x7q3w8z5"], description="ID of the entry.")
    type: str = Field(description="Type of the event.", examples=["api_key.created"])
    effective_at: int = Field(description="Time of the event, in Unix seconds.")
    project: AuditProject | None
    actor: AuditActor
    objects: list[str] = Field(
        description="IDs of the objects that were changed or read, and of those that they belong "
        "to; at most 100.",
        examples=[["file-abc123"]],
    )
    counts: dict[str, int] = Field(
        description="Counts, such as the number of bytes read or of requests.",
        examples=[{"rows": 20}],
    )
    request: AuditRequest
    result: AuditResult
    reason: str | None = Field(
        default=None, description="Reason that the caller gave for an override, or null."
    )

    @classmethod
    def from_entry(cls, entry: Entry) -> Self:
        """Build the API object of an entry."""
        origin = entry.origin
        fields: dict[str, Any] = {entry.type: _details(entry)}
        return cls(
            id=entry.id,
            type=entry.type,
            effective_at=int(entry.at),
            project=AuditProject(id=entry.project_id) if entry.project_id else None,
            actor=AuditActor.from_entry(entry),
            objects=list(entry.objects),
            counts=entry.counts,
            request=AuditRequest(
                id=origin.request_id or None,
                ip_address=origin.address or None,
                user_agent=origin.user_agent or None,
                operation=origin.operation or None,
            ),
            result=AuditResult(
                outcome=entry.outcome, status=entry.status or None, code=entry.code or None
            ),
            reason=entry.reason or None,
            **fields,
        )


class VerifyAuditLogs(BaseModel):
    """Request to verify the audit log. All fields are optional."""

    model_config = ConfigDict(extra="forbid", strict=True)

    public_keys: list[str] = Field(
        default=[],
        max_length=10,
        description="Public keys as PEM, of which each checkpoint must be signed with one. Several "
        "if the key was changed. Defaults to the key of this installation, if this API process has "
        "its file.",
    )
    checkpoints: list[str] = Field(
        default=[],
        max_length=100,
        description="Checkpoints that were kept elsewhere, such as by a witness. The log must "
        "contain them.",
    )
    kept_days: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Number of days for which entries had to be kept, at least. By default, what "
        "the checkpoints say.",
    )


class SealedUntil(BaseModel):
    """The newest checkpoint: a signed statement of all entries until then."""

    number: int = Field(description="Number of the checkpoint. 0 for those of version 0.2.0.")
    entries: int = Field(description="Number of the entries that it covers.")
    at: int = Field(description="Time at which it was signed, in Unix seconds.")
    last_entry_id: str | None = Field(
        description="ID of the newest entry that it covers. Null if all were deleted because of "
        "their age."
    )


class AuditLogVerification(BaseModel):
    """Result of a verification of the audit log."""

    object: Literal["organization.audit_log.verification"] = "organization.audit_log.verification"
    status: Literal["intact", "damaged", "empty"] = Field(
        description="Result. `intact`: no sealed entry was changed, deleted, added or moved. "
        "`damaged`: `problems` says what is wrong. `empty`: no entry is sealed yet."
    )
    verified_at: int = Field(description="Time of the verification, in Unix seconds.")
    sealed: SealedUntil | None = Field(
        description="Newest valid checkpoint. Null if no entry is sealed."
    )
    entries_deleted: int = Field(
        description="Number of sealed entries that were deleted because of their age, as "
        "checkpoints state."
    )
    entries_unsealed: int = Field(
        description="Number of newer entries, which are not sealed yet and cannot be verified."
    )
    problems: list[str] = Field(description="Problems found. Empty if there are none.")
    notes: list[str] = Field(
        description="Facts that an auditor should know, such as changes of the retention."
    )

    @classmethod
    def from_findings(cls, found: Findings, *, unsealed: int, now_s: int) -> Self:
        """Build the API object of a verification."""
        newest = found.newest
        sealed = newest and SealedUntil(
            number=newest.number,
            entries=newest.size,
            at=newest.time,
            last_entry_id=found.last_id,
        )
        status: Literal["intact", "empty"] = "empty" if newest is None else "intact"
        return cls(
            status="damaged" if found.problems else status,
            verified_at=now_s,
            sealed=sealed,
            entries_deleted=found.deleted,
            entries_unsealed=unsealed,
            problems=found.problems,
            notes=found.notes,
        )


def _details(entry: Entry) -> dict[str, Any]:
    if entry.type in _DENIALS:
        return {"error_code": entry.code}
    return {"id": entry.objects[0]} if entry.objects else {}
