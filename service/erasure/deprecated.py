"""`/v1/organization/erasure` of version 0.2, which `/v1/organization/erasures` replaces."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import Depends
from pydantic import BaseModel, Field

from service.core.redis.rewriting import Rewrite
from service.erasure.routes import ErasureOperations, SearchStore, start_erasure
from service.erasure.schemas import (
    CreateErasure,
    ErasureMatch,
    ErasureResult,
    match_of,
    result_of,
)
from service.erasure.search.records import SearchRecord, SearchStatus
from service.web.audit_events import AuditEvent
from service.web.deprecation import deprecated_router
from service.web.deps import Caller
from service.web.permissions import Permission, needs
from service.web.resources import Resource
from service.work.records import WorkError

router = deprecated_router(
    "/v1/organization/erasure", successor="/v1/organization/erasures", tags=["Erasure"]
)


class OldErasureProgress(BaseModel):
    """Progress of an erasure."""

    files_done: int = Field(description="Number of files that were searched.")
    files_total: int = Field(description="Number of the project's files.")


class OldErasureError(BaseModel):
    """Reason why an erasure failed."""

    code: str = Field(description="Code of the error.")
    message: str = Field(description="Reason, and how to fix it.")


class OldErasure(ErasureResult):
    """An erasure in version 0.2."""

    id: str = Field(
        description="ID of the erasure. Starts with `erasure-`, or with `erasuresearch-` if "
        "version 0.2 created it."
    )
    object: Literal["organization.erasure"] = "organization.erasure"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    finished_at: int | None = Field(
        description="Time at which the erasure ended, as a Unix timestamp in seconds."
    )
    project_id: str = Field(description="ID of the project.")
    status: SearchStatus = Field(description="Status: `in_progress`, then `completed` or `failed`.")
    match: ErasureMatch = Field(description="Digest of what is searched for.")
    apply: bool = Field(description="Whether files are replaced.")
    cascade: bool = Field(description="Whether models are deleted too.")
    progress: OldErasureProgress = Field(description="Progress of the erasure.")
    error: OldErasureError | None = Field(description="Reason why the erasure failed.")

    @classmethod
    def from_record(cls, record: SearchRecord, rewrite: Rewrite | None = None) -> Self:
        """Build the API object for a record, and for the rewrite of files after its end."""
        # Version 0.2 could not cancel it.
        if record.status is SearchStatus.CANCELLING:
            record = record.model_copy(update={"status": SearchStatus.IN_PROGRESS})
        elif record.status is SearchStatus.CANCELLED:
            error = WorkError(code="cancelled", message="It was cancelled.")
            record = record.model_copy(update={"status": SearchStatus.FAILED, "error": error})
        known = {"id", "created_at", "finished_at", "project_id", "status", "apply", "cascade"}
        return cls.model_validate(
            {
                **record.model_dump(include=known | {"error"}),
                **result_of(record, rewrite),
                "match": match_of(record),
                "progress": {
                    "files_done": record.files_done,
                    "files_total": record.files_total,
                },
            },
            strict=False,
        )


@router.post(
    "",
    operation_id="oldCreateErasure",
    summary="Find and erase rows",
    openapi_extra=needs(Permission.DATA_ERASE, AuditEvent.ROWS_ERASED),
)
async def create_erasure(body: CreateErasure, caller: Caller, store: SearchStore) -> OldErasure:
    """Use `createErasure`."""
    return await start_erasure(OldErasure, body, caller, store, None)


@router.get(
    "/{erasure_id}",
    operation_id="oldGetErasure",
    summary="Retrieve an erasure",
    openapi_extra=needs(Permission.DATA_ERASE),
)
async def retrieve_erasure(
    erasure_id: str, caller: Caller, operations: Annotated[ErasureOperations, Depends()]
) -> OldErasure:
    """Use `getErasure`."""
    record = await operations.get(caller.project_id, erasure_id)
    record = Resource("erasure").get_or_404(record, erasure_id)
    return OldErasure.from_record(record, await operations.rewrite(record))
