"""Approvals of trained models by a second person, which projects with `four_eyes` require.

An approval is in the record of the model and names the digest of its adapter. So it ends with the
model, and an adapter that was replaced is not approved.
"""

from __future__ import annotations

from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.errors import Conflict
from service.core.records import Missing, parse
from service.models.records import Approval, ModelRecord
from service.models.registry import ModelRegistry
from service.projects.records import INSTALLATION, Project, Projects
from service.web.auth import Principal

NEEDS_APPROVAL = "approval_required"
MAX_APPROVALS = 20


class SelfApproval(Exception):
    """Who trained or imported a model wants to approve it."""


class TooManyApprovals(Exception):
    """The model has the maximum number of approvals."""


class NotApproved(Exception):
    """The project requires approvals, and the model has none."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model


async def approve(
    registry: ModelRegistry, caller: Principal, model: str, note: str | None
) -> Approval:
    """Approve a model of the caller's project. Approving it again returns the first approval.

    Raises Missing, SelfApproval, or TooManyApprovals.
    """
    made = Approval(
        id=ids.new(ids.APPROVAL),
        created_at=clock.now_s(),
        approved_by=caller.identity,
        key_id=caller.key_id,
        note=note,
        digest="",
    )
    given = made

    def change(record: ModelRecord) -> ModelRecord:
        nonlocal given
        if caller.identity == (record.created_by or record.key_id):
            raise SelfApproval(model)
        kept = record.valid_approvals
        for other in kept:
            if other.approved_by == caller.identity:
                given = other
                return record
        if len(kept) >= MAX_APPROVALS:
            raise TooManyApprovals(model)
        given = made.model_copy(update={"digest": record.digest})
        return record.model_copy(update={"approvals": (*kept, given)})

    await registry.models.update(caller.project_id, model, change)
    return given


async def revoke(registry: ModelRegistry, project_id: str, model: str, approval_id: str) -> None:
    """Revoke an approval. Raises Missing if there is no such model or approval."""

    def change(record: ModelRecord) -> ModelRecord:
        kept = tuple(one for one in record.approvals if one.id != approval_id)
        if len(kept) == len(record.approvals):
            raise Missing(approval_id)
        return record.model_copy(update={"approvals": kept})

    await registry.models.update(project_id, model, change)


async def require_approvals(
    pipe: Pipeline, registry: ModelRegistry, project_id: str, models: list[str]
) -> None:
    """Raise NotApproved if the project requires approvals, and one of its models has none.

    Base models need none. A model that another project shares needs one there. `pipe` must be in
    the mode that executes commands immediately; the transaction fails if the project changes.
    """
    key = Projects(registry.redis).projects.key(INSTALLATION, project_id)
    await pipe.watch(key)
    raw = await pipe.get(key)
    if raw is None or not parse(Project, raw, project_id).four_eyes:
        return
    for model in models:
        if registry.catalogue.get(model) is not None:
            continue
        raw = await pipe.get(registry.models.key(project_id, model))
        if raw is None:
            owner = await registry.sharing.owner_of_shared(project_id, model, pipe)
            raw = owner and await pipe.get(registry.models.key(owner, model))
        if not raw or not parse(ModelRecord, raw, model).valid_approvals:
            raise NotApproved(model)


async def require_approval(registry: ModelRegistry, project_id: str, model: str) -> None:
    """Raise Conflict if the project requires approvals, and its trained model has none."""
    project = await Projects(registry.redis).get(project_id)
    if project is None or not project.four_eyes:
        return
    record = await registry.get(project_id, model)
    if record is None or not record.valid_approvals:
        raise Conflict(explain(model), param="model", code=NEEDS_APPROVAL)


def explain(model: str) -> str:
    """Return what is missing, and how to get it."""
    return (
        f"The model '{model}' is not approved, which this project requires before an alias points "
        "at it or an export is handed out. Someone who did not train it approves it with POST "
        f"/v1/models/{model}/approvals, or 'finetuned models approve'."
    )
