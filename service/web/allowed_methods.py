"""The methods that a path supports, for answers with the status 405."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Return the methods of the routes whose template describes a request's path most closely.

    Starlette's own `allow` header has only those of the first route that matches.
    """
    found: dict[str, set[str]] = {}
    for route in routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found.setdefault(route.path, set()).update(route.methods or ())
    return sorted(found[min(found, key=_vagueness)]) if found else []


def _vagueness(template: str) -> tuple[int, int]:
    """Order of templates that match the same path: `/files/merge` precedes `/files/{file_id}`."""
    return template.count("{"), -len(template)
