"""Tests that each `resource()` has its annotated type."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
from fastapi.params import Depends

import service
from service.web import deps


def declared() -> Iterator[tuple[str, Any]]:
    """Return the names of all resources and their declared types."""
    modules = [m.name for m in pkgutil.walk_packages(service.__path__, "service.")]
    wanted = ("service.web.deps", "service.web.health")
    for module in (m for m in modules if m.endswith(".routes") or m in wanted):
        for value in vars(importlib.import_module(module)).values():
            if get_origin(value) is not Annotated:
                continue
            kind, *metadata = get_args(value)
            for found in metadata:
                of = found.dependency if isinstance(found, Depends) else None
                if of is not None and is_resource(of):
                    yield inspect.getclosurevars(of).nonlocals["name"], kind


def is_resource(dependency: Any) -> bool:
    return getattr(dependency, "__qualname__", "").startswith(deps.resource.__name__ + ".")


DECLARED = sorted(set(declared()), key=str)


def test_the_declarations_are_found():
    assert {"settings", "redis", "jobs", "files", "registry", "probes"} <= {n for n, _ in DECLARED}


@pytest.mark.parametrize(("name", "kind"), DECLARED, ids=[name for name, _ in DECLARED])
async def test_the_lifespan_opens_what_is_declared(name: str, kind: Any, api):
    assert isinstance(getattr(api.app.state, name), get_origin(kind) or kind)
