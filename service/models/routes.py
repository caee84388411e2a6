"""`/v1/models`: from the registry, never from the engine."""

from __future__ import annotations

import logging
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request

from service.core.deps import Caller
from service.core.errors import Forbidden, NotFound
from service.core.http import ListOf
from service.core.storage import Storage, StorageError
from service.models.registry import ModelRegistry
from service.models.schemas import ModelDeleted, ModelObject

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/models", tags=["Models"])
_MOST_MODELS = 10_000


def _registry(request: Request) -> ModelRegistry:
    return cast("ModelRegistry", request.app.state.registry)


def _storage(request: Request) -> Storage:
    return cast("Storage", request.app.state.storage)


Registry = Annotated[ModelRegistry, Depends(_registry)]
Artifacts = Annotated[Storage, Depends(_storage)]


@router.get("", operation_id="listModels", summary="List models")
async def list_models(caller: Caller, registry: Registry) -> ListOf[ModelObject]:
    """Base models of the catalogue, then the project's trained models, newest first."""
    page = await registry.models.page(caller.project_id, limit=_MOST_MODELS)
    adapters = [
        ModelObject.of_adapter(r, caller.project_name) for r in page.items if not r.checkpoint
    ]
    bases = [ModelObject.of_base(entry) for entry in registry.catalogue.all()]
    return ListOf(data=[*bases, *adapters], has_more=page.has_more)


@router.get("/{model:path}", operation_id="retrieveModel", summary="Retrieve a model")
async def retrieve_model(model: str, caller: Caller, registry: Registry) -> ModelObject:
    """One base model or trained model."""
    entry = registry.catalogue.get(model)
    if entry is not None:
        return ModelObject.of_base(entry)
    record = await registry.get(caller.project_id, model)
    if record is None:
        raise _unknown(model)
    return ModelObject.of_adapter(record, caller.project_name)


@router.delete("/{model:path}", operation_id="deleteModel", summary="Delete a trained model")
async def delete_model(
    model: str, caller: Caller, registry: Registry, storage: Artifacts
) -> ModelDeleted:
    """The model stops answering within seconds; its name is never used again."""
    if registry.catalogue.get(model) is not None:
        raise Forbidden(
            f"'{model}' is a base model: only the operator can take it out of the catalogue.",
            param="model",
        )
    record = await registry.delete(caller.project_id, model)
    if record is None:
        raise _unknown(model)
    try:
        await storage.delete_prefix(record.artifact)
    except StorageError as e:
        # The model is gone for every caller; only bytes are left behind.
        log.warning("files of a deleted model are left in storage: %s", e)
    return ModelDeleted(id=model)


def _unknown(model: str) -> NotFound:
    return NotFound(
        f"The model '{model[:200]}' does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )
