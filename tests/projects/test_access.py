"""The matrix of routes and keys: every route answers every kind of key as `access.py` says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from service.app import Api as App
from service.app import create_app
from service.config import Settings
from service.core import clock
from service.inference.gateway.schemas import router as inference_routes
from service.projects.records import Projects, Role
from service.web.deps import Caller
from service.web.permissions import PERMISSIONS, Permission, needed_by, needs
from tests.projects.access import PUBLIC, ROLES_OF

_UNUSABLE = {
    "none": "invalid_api_key",
    "wrong": "invalid_api_key",
    "revoked": "invalid_api_key",
    "expired": "api_key_expired",
    "replaced": "api_key_expired",
    "elsewhere": "ip_not_authorized",
    "archived": "project_archived",
}


class Served(NamedTuple):
    """A route, with a path whose objects do not exist."""

    operation: str
    method: str
    path: str
    route: BaseRoute


def served(app: App) -> Iterator[Served]:
    """Every route of the API, those of the gateway included."""
    for route in (*app.routes, *inference_routes.routes):
        if isinstance(route, APIRoute) and route.include_in_schema:
            path = re.sub(r"\{[^}]*\}", "unknown", route.path)
            for method in route.methods:
                yield Served(str(route.operation_id), method, path, route)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    """The app with its resources open, without a server."""
    app = create_app(settings.model_copy(update={"failed_authentications_per_minute": 0}))
    async with app.router.lifespan_context(app):
        await app.state.redis.flushdb()
        yield app


@pytest.fixture
async def secrets(app: App) -> dict[str, str | None]:
    """The secret of each kind of key: of each role of the project acme, and unusable ones."""
    projects: Projects = app.state.projects
    acme = await projects.create("acme")
    found: dict[str, str | None] = {"none": None, "wrong": "sk-ft-wrong"}
    for role in Role:
        _, found[role] = await projects.create_key(acme, role, role)
    revoked, found["revoked"] = await projects.create_key(acme, "revoked", Role.ADMIN)
    await projects.revoke_key(acme.id, revoked.id)
    _, found["expired"] = await projects.create_key(
        acme, "expired", Role.ADMIN, expires_at=clock.now_s() - 1
    )
    _, found["elsewhere"] = await projects.create_key(
        acme, "elsewhere", Role.ADMIN, allowed_ips=("192.0.2.0/24",)
    )
    replaced, found["replaced"] = await projects.create_key(acme, "replaced", Role.ADMIN)
    await projects.rotate_key(acme.id, replaced.id, overlap_s=1)
    shorter = {"expires_at": clock.now_s() - 1}
    await projects.change_key(
        acme.id,
        replaced.id,
        lambda key: key.model_copy(
            update={"old_secrets": (key.old_secrets[0].model_copy(update=shorter),)}
        ),
    )
    old = await projects.create("old")
    _, found["archived"] = await projects.create_key(old, "archived", Role.ADMIN)
    await projects.archive(old.id)
    return found


def client(app: App, secret: str | None) -> httpx.AsyncClient:
    """A client of the app that sends a key."""
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(
        base_url="http://api", transport=httpx.ASGITransport(app), headers=headers
    )


def test_every_route_has_an_entry_and_declares_a_permission():
    """Add a new route to `access.py`, and declare what it needs with `needs(Permission.…)`."""
    routes = list(served(create_app(Settings())))
    assert {route.operation for route in routes} == ROLES_OF.keys() | PUBLIC
    undeclared = {route.operation for route in routes if needed_by(route.route) is None}
    assert undeclared == PUBLIC


def test_permissions_match_the_reviewed_table():
    for route in served(create_app(Settings())):
        permission = needed_by(route.route)
        if permission is not None:
            roles = {role for role in Role if permission in PERMISSIONS[role]}
            assert roles == ROLES_OF[route.operation], route.operation
    assert set(PERMISSIONS) == set(Role)
    declared = {needed_by(route.route) for route in served(create_app(Settings()))}
    assert declared == {*Permission, None}


@pytest.mark.parametrize("kind", [*Role, *_UNUSABLE])
async def test_each_route_answers_each_kind_of_key(app: App, secrets, kind):
    async with client(app, secrets[kind]) as http:
        for route in served(app):
            answer = await http.request(route.method, route.path)
            where = f"{kind}: {route.method} {route.path} {answer.text[:200]}"
            assert answer.status_code < 500, where
            if route.operation in PUBLIC:
                assert answer.status_code not in (401, 403), where
            elif kind in _UNUSABLE:
                assert refusal(answer) == (401, _UNUSABLE[kind]), where
            elif kind in ROLES_OF[route.operation]:
                assert answer.status_code not in (401, 403), where
            else:
                assert refusal(answer) == (403, "insufficient_permissions"), where
                message = answer.json()["error"]["message"]
                assert f"Missing scopes: {needed_by(route.route)}." in message
                assert f"the role '{kind}'" in message


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    """The status of an answer and the code of its error."""
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_route_without_a_permission_answers_nobody(app: App, secrets):
    """A forgotten declaration must not open a route."""
    router = APIRouter()

    @router.get("/forgotten")
    async def forgotten(_: Caller) -> str:
        return "secret"

    @router.get("/declared", openapi_extra=needs(Permission.CALLER_READ))
    async def declared(_: Caller) -> str:
        return "seen"

    app.router.routes.extend(router.routes)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {secrets['admin']}"}
    async with httpx.AsyncClient(
        base_url="http://api", transport=transport, headers=headers
    ) as http:
        assert (await http.get("/forgotten")).status_code == 500
        assert (await http.get("/declared")).json() == "seen"
