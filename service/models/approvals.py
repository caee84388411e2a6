"""Approvals of trained models by a second person, which projects with `four_eyes` require.

An approval is in the record of the model and names the digest of its adapter. So it ends with the
model, and an adapter that was replaced is not approved.
"""

from __future__ import annotations

from collections.abc import Iterable

from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.errors import Conflict
from service.core.records import Missing, parse
from service.models.records import Approval, ModelRecord
from service.models.registry import ModelRegistry
from service.projects.records import INSTALLATION, Project, Projects
from service.web.auth import Principal

MAX_APPROVALS = 20


class SelfApproval(Exception):
    """Who trained or imported a model wants to approve it."""


class TooManyApprovals(Exception):
    """The model has the maximum number of approvals."""


class NotApproved(Conflict):
    """A project requires approvals, and the model has none."""

    default_code = "approval_required"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The model '{model}' is not approved, which its project requires before an alias "
            "points at it, another project may use it, or an export is handed out. Someone who "
            f"did not train it approves it with POST /v1/models/{model}/approvals, or 'finetuned "
            "models approve'.",
            param="model",
        )


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
        # Older records have only the key, which may be one of a service account.
        if caller.identity == record.created_by or caller.key_id == record.key_id:
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
    registry: ModelRegistry,
    project_id: str,
    models: Iterable[str],
    pipe: Pipeline | None = None,
) -> None:
    """Raise NotApproved if one of a project's models has no approval, and needs one.

    It does if the project has `four_eyes`, or the one that shares the model with it. Base models
    need none. A transaction gives its `pipe`, in the mode that executes commands immediately, and
    fails if the projects change.
    """
    if pipe is None:
        async with registry.redis.pipeline() as own:
            return await require_approvals(registry, project_id, models, own)
    requires = await _requires_approvals(pipe, registry, project_id)
    for model in models:
        if registry.catalogue.get(model) is not None:
            continue
        is_required = requires
        raw = await pipe.get(registry.models.key(project_id, model))
        if raw is None:
            owner = await registry.sharing.owner_of_shared(project_id, model, pipe) or project_id
            raw = await pipe.get(registry.models.key(owner, model))
            is_required = requires or await _requires_approvals(pipe, registry, owner)
        if is_required and not (raw and parse(ModelRecord, raw, model).valid_approvals):
            raise NotApproved(model)
    return None


async def _requires_approvals(pipe: Pipeline, registry: ModelRegistry, project_id: str) -> bool:
    key = Projects(registry.redis).projects.key(INSTALLATION, project_id)
    await pipe.watch(key)
    raw = await pipe.get(key)
    return raw is not None and parse(Project, raw, project_id).four_eyes
