"""Routes of `/v1/models`, answered from the registry rather than the engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NamedTuple, Self, TypeAlias

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from service.core.errors import ApiError, BadRequest, Conflict, Forbidden, NotFound
from service.core.records import Missing
from service.models.aliases.records import AliasRecord
from service.models.lookup import model_not_found
from service.models.parsers import Capabilities
from service.models.records import ModelRecord, project_of
from service.models.registry import ModelInUse, ModelRegistry
from service.models.schemas import Base, ModelDeleted, ModelObject
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import Caller, resource
from service.web.filters import CountedList, ListCounts, ListFilter, by_status, list_counts
from service.web.path_names import MODEL
from service.web.permissions import Permission, needs
from service.web.resources import Paging, Resource, long_list, paging

router = APIRouter(prefix="/v1/models", tags=["Models"])
_MAX_MODELS = 100_000  # about 20 MB in one response


class ListedKind(StrEnum):
    """Kind of a model in a list."""

    BASE = "base"
    ALIAS = "alias"
    TRAINED = "trained"
    SHARED = "shared"


_Models: TypeAlias = list[ModelObject | AliasRecord | ModelRecord]


Registry = Annotated[ModelRegistry, Depends(resource("registry"))]
EraseModel = Annotated[
    Callable[[str, str, str], Awaitable[str | None]], Depends(resource("erase_model"))
]
"""Deletes the model of a project for a key, and returns the ID of the receipt, if there is one."""
CapabilitiesOf = Annotated[Capabilities, Depends(resource("capabilities"))]
Serves = Annotated[Callable[[str], bool], Depends(resource("serves"))]


@router.get(
    "",
    operation_id="listModels",
    summary="List models",
    response_model=CountedList[ModelObject],
    openapi_extra=needs(Permission.MODEL_READ),
)
async def list_models(
    caller: Caller,
    registry: Registry,
    serves: Serves,
    capabilities: CapabilitiesOf,
    paging: Annotated[Paging, paging(_MAX_MODELS, _MAX_MODELS)],
    wanted: Annotated[ListFilter, by_status(ListedKind, "kind")],
) -> Response:
    """List the catalog's base models, the project's aliases, its trained models, and those that
    other projects share with it, newest first.

    Each `id` can be used as the model name in inference requests. `owned_by` names the project that
    trained a model. Checkpoints are listed only if another project shares them. The response
    contains all models unless `limit` is set; to page, pass the last `id` of the previous page as
    `after`. A key that may only use some models gets only these.
    """
    known = {entry.id: Base(entry, capabilities.find(entry)) for entry in registry.catalogue.all()}
    bases = [ModelObject.from_base(base, available=serves(name)) for name, base in known.items()]
    if wanted.is_set:
        reading = _page_of_matching(registry, caller, bases, wanted, paging)
    elif caller.models is None:
        reading = _page(registry, caller.project_id, bases, paging)
    else:
        reading = _page_of_named(registry, caller.project_id, bases, caller.models, paging)
    page = await Resource("model").read(reading)
    return await long_list(
        page.items,
        lambda model: _model_object(model, caller.project_name, known),
        page.has_more,
        counts=page.counts,
    )


@dataclass(frozen=True)
class _Page:
    items: _Models
    has_more: bool
    counts: ListCounts | None = None


async def _page(
    registry: ModelRegistry,
    project_id: str,
    bases: list[ModelObject],
    paging: Paging,
) -> _Page:
    """Return a page of base models, aliases, trained models, and shared models. Raises Missing."""
    after, limit = paging.after, paging.limit
    shared: _Models = [*await registry.all_shared(project_id)]
    if any(model.id == after for model in shared):
        return _slice(shared, paging)
    found: _Models = []
    has_more = False
    place = next((i for i, base in enumerate(bases, 1) if base.id == after), None)
    if after is None or place is not None:
        found, after = [*bases[place or 0 :]], None
    if after is None or await registry.get(project_id, after) is None:
        aliases = await registry.listed_aliases(project_id, after, limit)
        found, after, has_more = [*found, *aliases.items], None, aliases.has_more
    trained = await registry.trained(project_id, after, max(limit - len(found), 0))
    found = [*found, *trained.items]
    if not (has_more or trained.has_more):
        found += shared
    return _Page(found[:limit], has_more or trained.has_more or len(found) > limit)


async def _page_of_named(
    registry: ModelRegistry,
    project_id: str,
    bases: list[ModelObject],
    names: frozenset[str],
    paging: Paging,
) -> _Page:
    """Return a page of the models that exist under the names. Raises Missing."""
    of_bases = [base for base in bases if base.id in names]
    others = sorted(names - {base.id for base in bases})
    found: _Models = [
        *of_bases,
        *await registry.named_aliases(project_id, others),
        *await registry.named_models(project_id, others),
        *(model for model in await registry.all_shared(project_id) if model.id in names),
    ]
    return _slice(found, paging)


async def _page_of_matching(
    registry: ModelRegistry,
    caller: Principal,
    bases: list[ModelObject],
    wanted: ListFilter,
    paging: Paging,
) -> _Page:
    """Return a page of the models that match. Raises Missing."""
    names = caller.models
    every = await (
        _page(registry, caller.project_id, bases, Paging(limit=_MAX_MODELS))
        if names is None
        else _page_of_named(registry, caller.project_id, bases, names, Paging(limit=_MAX_MODELS))
    )
    counts: Counter[str | None] = Counter()
    found: _Models = []
    for model in every.items:
        if not wanted.matches(_Listed.of(model), ("base_model",)):
            continue
        kind = _kind_of(model, caller.project_name)
        counts[kind] += 1
        if wanted.matches_status(kind):
            found.append(model)
    page = _slice(found, paging)
    shown = list_counts(counts) if wanted.with_counts else None
    return _Page(page.items, page.has_more, shown)


class _Listed(NamedTuple):
    """What filters compare of a model."""

    id: str
    created_at: int
    key_id: str
    base_model: str | None

    @classmethod
    def of(cls, model: ModelObject | AliasRecord | ModelRecord) -> Self:
        if isinstance(model, ModelObject):
            return cls(model.id, model.created, "", None)
        if isinstance(model, ModelRecord):
            return cls(model.id, model.created_at, model.key_id, model.base_model)
        return cls(model.id, model.created_at, "", None)


def _kind_of(model: ModelObject | AliasRecord | ModelRecord, project: str) -> ListedKind:
    if isinstance(model, ModelObject):
        return ListedKind.BASE
    if isinstance(model, AliasRecord):
        return ListedKind.ALIAS
    return ListedKind.TRAINED if project_of(model.id) == project else ListedKind.SHARED


def _slice(models: _Models, paging: Paging) -> _Page:
    """Return a page of models. Raises Missing."""
    start = 0
    if paging.after is not None:
        known = [model.id for model in models]
        if paging.after not in known:
            raise Missing(paging.after)
        start = known.index(paging.after) + 1
    end = start + paging.limit
    return _Page(models[start:end], len(models) > end)


def _model_object(
    model: ModelObject | AliasRecord | ModelRecord, owner: str, bases: Mapping[str, Base]
) -> ModelObject:
    if isinstance(model, ModelObject):
        return model
    if isinstance(model, AliasRecord):
        return ModelObject.from_alias(model, owner)
    name = project_of(model.id) or owner
    return ModelObject.from_adapter(model, name, bases.get(model.base_model), is_own=name == owner)


@router.get(
    MODEL,
    operation_id="getModel",
    summary="Retrieve a model",
    openapi_extra=needs(Permission.MODEL_READ),
)
async def retrieve_model(
    model: str,
    caller: Caller,
    registry: Registry,
    serves: Serves,
    capabilities: CapabilitiesOf,
) -> ModelObject:
    """Retrieve a base model, a trained model of this project or one that another project shares
    with it, or an alias (`alias_of` lists its targets).
    """
    if not caller.sees(model):
        raise _unknown(model)
    entry = registry.catalogue.get(model)
    if entry is not None:
        return ModelObject.from_base(
            Base(entry, capabilities.find(entry)), available=serves(entry.id)
        )
    own = await registry.get(caller.project_id, model)
    record = own or await registry.shared(caller.project_id, model)
    if record is not None:
        entry = registry.catalogue.get(record.base_model)
        base = None if entry is None else Base(entry, capabilities.find(entry))
        owner = project_of(record.id) or ""
        return ModelObject.from_adapter(record, owner, base, is_own=own is not None)
    alias = await registry.alias(caller.project_id, model)
    if alias is not None:
        return ModelObject.from_alias(alias, caller.project_name)
    raise _unknown(model)


@router.delete(
    MODEL,
    operation_id="deleteModel",
    summary="Delete a trained model",
    openapi_extra=needs(Permission.MODEL_WRITE, AuditEvent.MODEL_DELETED),
)
async def delete_model(
    model: str, caller: Caller, registry: Registry, erase_model: EraseModel
) -> ModelDeleted:
    """Delete a trained model with its exports and evaluation immediately. Its name is never reused,
    and engines remove their copies within seconds. `receipt` is the ID of a signed receipt.

    The request fails with 409 while an alias points at the model, and with 403 for a base model,
    which only the operator can remove.
    """
    if registry.catalogue.get(model) is not None:
        raise Forbidden(
            f"'{model}' is a base model: only the operator can remove it from the catalog.",
            param="model",
        )
    try:
        receipt = await erase_model(caller.project_id, model, caller.key_id)
    except ModelInUse as e:
        raise Conflict(
            f"'{model}' is in use by the alias '{e.names[0]}'{_more(e.names)}. "
            "Point it elsewhere or delete it first.",
            param="model",
            code="model_in_use",
        ) from e
    if receipt is None:
        raise await _not_deletable(registry, caller.project_id, model)
    return ModelDeleted(id=model, receipt=receipt)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


async def _not_deletable(registry: ModelRegistry, project_id: str, name: str) -> ApiError:
    if await registry.alias(project_id, name) is None:
        return _unknown(name)
    return BadRequest(
        f"'{name}' is an alias, not a model: delete it with DELETE /v1/aliases/{name}.",
        param="model",
        code="model_is_alias",
    )


def _unknown(model: str) -> NotFound:
    if not model:
        return NotFound(
            "Unknown request URL: /v1/models/. Leave out the '/' at its end, or add an ID.",
            code="unknown_url",
        )
    return model_not_found(model)
