"""FastAPI dependencies: the process's resources, the caller, and the caller as an admin.

The app's lifespan opens the resources (`app.state`) once. Nothing is opened at import.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from service.config import Settings
from service.core.redis import Client
from service.web.auth import Authenticator, Principal


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
    """Return the caller. Raises Unauthenticated if the key is missing or unknown."""
    return await caller_check(request)()


def caller_check(request: Request) -> Callable[[], Awaitable[Principal]]:
    """Return a check to repeat during long responses.

    The check raises Unauthenticated once the key is revoked.
    """
    authenticator: Authenticator = request.app.state.authenticator
    return partial(authenticator.authenticate, request.headers.get("authorization"))


async def admin(caller: Annotated[Principal, Depends(principal)]) -> Principal:
    """Return the caller. Raises Forbidden unless the caller is an admin."""
    caller.require_admin()
    return caller


Caller = Annotated[Principal, Depends(principal)]
Admin = Annotated[Principal, Depends(admin)]
