"""Every model that a JSON body contains takes no unknown fields and no values of another type."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel

from service.app import create_app
from service.config import Settings


def models_in(kind: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation, with those of their fields."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind in seen:
            return
        seen.add(kind)
        yield kind
        for field in kind.model_fields.values():
            yield from models_in(field.annotation, seen)
    for part in typing.get_args(kind):
        yield from models_in(part, seen)


def bodies() -> list[type[BaseModel]]:
    seen: set[type[BaseModel]] = set()
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    return [
        model
        for route in routes
        if route.body_field is not None
        for model in models_in(route.body_field.field_info.annotation, seen)
    ]


def test_every_model_of_a_body_is_strict():
    found = bodies()
    assert len(found) > 50
    assert [m.__qualname__ for m in found if m.model_config.get("strict") is not True] == []
    assert [m.__qualname__ for m in found if m.model_config.get("extra") != "forbid"] == []
