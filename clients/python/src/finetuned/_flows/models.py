"""Models available for inference: base models, trained models and aliases."""

from __future__ import annotations

from finetuned._flows.common import Page, at, listed
from finetuned._http import Request
from finetuned._steps import Flow, Item, Items, fetch
from finetuned.types import ModelDeleted, ModelObject


def list_models(*, limit: int | None = None, after: str | None = None) -> Items[ModelObject]:
    """List base models, then the project's aliases, then its trained models, newest first."""
    if limit is not None:
        return listed(ModelObject, "models", limit=limit, after=after)
    return _all_at_once(after)


def _all_at_once(after: str | None) -> Items[ModelObject]:
    # Without a limit, one response contains all models.
    page = yield from fetch(Page[ModelObject], Request("GET", "models", params={"after": after}))
    for model in page.data:
        yield Item(model)


def retrieve(model: str) -> Flow[ModelObject]:
    """Retrieve a model by name."""
    return fetch(ModelObject, Request("GET", at("models", model)))


def delete(model: str) -> Flow[ModelDeleted]:
    """Delete a trained model. Its name is never reused."""
    return fetch(ModelDeleted, Request("DELETE", at("models", model)))
