"""`/v1/models/{model}/approvals`: approvals of trained models by a second person."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from service.core.errors import Forbidden, LimitReached, NotFound
from service.core.records import Missing
from service.models import approvals
from service.models.records import Approval
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, ListOf, Resource, deleted, list_of

router = APIRouter(prefix="/v1/models", tags=["Models"])
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]
_APPROVAL = Resource("approval")


class CreateApproval(BaseModel):
    """Request to approve a trained model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    note: str | None = Field(
        default=None, min_length=1, max_length=1000, description="What was checked, and how."
    )


class ApprovalObject(BaseModel):
    """A person's approval of a trained model."""

    object: Literal["model.approval"] = "model.approval"
    id: str = Field(description="ID of the approval, prefixed with `approval_`.")
    created_at: int = Field(description="Time of the approval, as a Unix timestamp in seconds.")
    approved_by: str = Field(
        description="ID of the service account that approved the model; otherwise of the bearer of "
        "a token of the identity provider, or of the API key."
    )
    api_key_id: str = Field(description="ID of the API key that approved the model.")
    note: str | None = Field(description="What was checked; null if nothing was said.")
    digest: str = Field(
        description="SHA-256 digest of the manifest of the approved weights, in hexadecimal digits."
    )

    @classmethod
    def from_record(cls, approval: Approval) -> Self:
        """The API object for a record."""
        return cls(
            id=approval.id,
            created_at=approval.created_at,
            approved_by=approval.approved_by,
            api_key_id=approval.key_id,
            note=approval.note,
            digest=approval.digest,
        )


@router.post(
    "/{model:path}/approvals",
    operation_id="createModelApproval",
    summary="Approve a trained model",
    openapi_extra=needs(Permission.MODEL_APPROVE, AuditEvent.MODEL_APPROVED),
)
async def create_approval(
    model: str, caller: Caller, registry: Registry, body: CreateApproval | None = None
) -> ApprovalObject:
    """Approve a trained model of the key's project. Projects with `four_eyes` require it before an
    alias points at the model or an export of it is created or downloaded.

    Who trained or imported the model cannot approve it, nor can another key of the same service
    account. Approving a model again returns the first approval.
    """
    if await registry.get(caller.project_id, model) is None:
        raise _no_model(model)
    try:
        made = await approvals.approve(registry, caller, model, body.note if body else None)
    except Missing as e:
        raise _no_model(model) from e
    except approvals.SelfApproval as e:
        raise Forbidden(
            f"You trained or imported the model '{model}', so someone else must approve it.",
            param="model",
            code="own_model",
        ) from e
    except approvals.TooManyApprovals as e:
        raise LimitReached(
            f"The model has {approvals.MAX_APPROVALS} approvals, the maximum. Revoke one of them."
        ) from e
    return ApprovalObject.from_record(made)


@router.get(
    "/{model:path}/approvals",
    operation_id="listModelApprovals",
    summary="List the approvals of a trained model",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def list_approvals(model: str, caller: Caller, registry: Registry) -> ListOf[ApprovalObject]:
    """List the approvals of a trained model of the key's project, oldest first."""
    record = await registry.get(caller.project_id, model)
    if record is None:
        raise _no_model(model)
    return list_of([ApprovalObject.from_record(a) for a in record.valid_approvals], has_more=False)


@router.delete(
    "/{model:path}/approvals/{approval_id}",
    operation_id="deleteModelApproval",
    summary="Revoke an approval",
    openapi_extra=needs(Permission.MODEL_APPROVE, AuditEvent.MODEL_APPROVAL_REVOKED),
)
async def delete_approval(
    model: str, approval_id: str, caller: Caller, registry: Registry
) -> Deleted:
    """Revoke an approval of a trained model. Aliases that point at the model keep doing so."""
    if await registry.get(caller.project_id, model) is None:
        raise _no_model(model)
    try:
        await approvals.revoke(registry, caller.project_id, model, approval_id)
    except Missing as e:
        raise _APPROVAL.not_found(approval_id) from e
    return deleted(approval_id, "model.approval")


def _no_model(model: str) -> NotFound:
    return NotFound(f"No such trained model: {model[:200]}", param="model", code="model_not_found")
