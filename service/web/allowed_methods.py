"""The methods that a path supports, for answers with the status 405."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Return the methods of the routes whose template describes a request's path most closely.

    Starlette's own `allow` header has only those of the first route that matches.
    """
    found: dict[str, set[str]] = {}
    for route in routes:
        if _is_served(route) and route.matches(scope)[0] is not Match.NONE:
            found.setdefault(route.path, set()).update(route.methods or ())
    return sorted(found[min(found, key=_vagueness)]) if found else []


def refusals(routes: Sequence[BaseRoute]) -> list[Route]:
    """Return routes that answer 405 to the methods that a path does not have.

    They must come first: otherwise, a path such as `/files/merge` has the methods of
    `/files/{file_id}` too, for the file `merge`.
    """
    served: dict[str, set[str]] = {}
    for route in filter(_is_served, routes):
        served.setdefault(route.path, set()).update(route.methods or ())
    return [
        Route(path, _refuse, methods=sorted(others), include_in_schema=False)
        for path, methods in served.items()
        if "{" not in path and (others := _matching(path, routes) - methods - {"HEAD"})
    ]


def _matching(path: str, routes: Iterable[BaseRoute]) -> set[str]:
    """Return the methods of all routes that match a path."""
    scope = {"type": "http", "method": "GET", "path": path}
    found = (r for r in filter(_is_served, routes) if r.matches(scope)[0] is not Match.NONE)
    return {method for route in found for method in route.methods or ()}


def _is_served(route: BaseRoute) -> TypeGuard[Route]:
    return isinstance(route, Route) and route.endpoint is not _refuse


async def _refuse(_: Request) -> Response:
    raise HTTPException(405)


def _vagueness(template: str) -> tuple[int, int]:
    """Order of templates that match the same path: `/files/merge` precedes `/files/{file_id}`."""
    return template.count("{"), -len(template)
