"""FastAPI dependencies: resources of the process, the authorized caller, and list parameters.

The app's lifespan opens the resources (`app.state`) once. Nothing is opened at import.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.security import HTTPBearer

from service.config import Settings
from service.core.redis import Client, set_purpose
from service.web import request_audit
from service.web.auth import Authenticator, Principal
from service.web.permissions import event_of, needed_by, purpose_of


def resource(name: str) -> Callable[[Request], Awaitable[Any]]:
    """Return a dependency on the resource that the lifespan opened as `app.state.<name>`.

    The annotation gives the type: `Store = Annotated[Jobs, Depends(resource("jobs"))]`. A test
    compares it with what the lifespan opens.
    """

    async def opened(request: Request) -> Any:  # FastAPI would run a plain function in a thread
        return getattr(request.app.state, name)

    return opened


AppSettings = Annotated[Settings, Depends(resource("settings"))]
RedisClient = Annotated[Client, Depends(resource("redis"))]

# Only for openapi.json. Authenticator does the check, with OpenAI's error bodies.
_scheme = HTTPBearer(
    auto_error=False, description="API key, sent as `Authorization: Bearer sk-ft-…`."
)


async def principal(request: Request, _: Annotated[object, Depends(_scheme)]) -> Principal:
    """Return the caller.

    Raises Unauthenticated if the key is missing or unknown, and Forbidden if its role lacks the
    permission that the route declares.
    """
    return await caller_check(request)()


def caller_check(request: Request) -> Callable[[], Awaitable[Principal]]:
    """Return a check to repeat during long responses.

    The check raises Unauthenticated once the key is revoked, and Forbidden once it has a role
    without the permission that the route declares.
    """
    authenticator: Authenticator = request.app.state.authenticator
    route = request.scope["route"]
    permission = needed_by(route)
    if permission is None:
        raise RuntimeError(f"the route {route.path} declares no permission")
    event = event_of(route)

    async def check() -> Principal:
        caller = await authenticator.authenticate(
            request.headers.get("authorization"), request.scope
        )
        await authenticator.require(caller, permission, request.scope)
        set_purpose(purpose_of(route))
        if event is not None:
            request_audit.begin(request, caller, event)
        return caller

    return check


Caller = Annotated[Principal, Depends(principal)]


def list_query(of: Any, name: str, description: str, *, most: int = 100) -> Any:
    """Return a dependency on a query parameter with several values; None if it was not sent.

    SDKs encode lists as `models[]=a&models[]=b`; curl and others as `models=a&models=b`. Both are
    read, and only the second is documented. `of` is the type of a value.
    """
    plain = Query([], alias=name, max_length=most, description=description)
    bracketed = Query([], alias=f"{name}[]", max_length=most, include_in_schema=False)

    async def read(
        plain: list[Any] = plain, bracketed: list[Any] = bracketed
    ) -> frozenset[Any] | None:
        return frozenset([*plain, *bracketed]) or None

    read.__annotations__ |= {"plain": list[of], "bracketed": list[of]}  # FastAPI validates these
    return Depends(read)
