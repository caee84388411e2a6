"""What routes ask for: the caller, and whether it is an admin.

The resources of the process (`app.state`) are opened once in the app's lifespan; nothing is
opened at import.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from service.web.auth import Authenticator, Principal

# Only for openapi.json: the check itself is Authenticator's, with OpenAI's error bodies.
_scheme = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer sk-ft-…`")


async def principal(request: Request, _: Annotated[object, Depends(_scheme)]) -> Principal:
    """The caller; raises Unauthenticated."""
    return await caller_check(request)()


def caller_check(request: Request) -> Callable[[], Awaitable[Principal]]:
    """A check for long answers, to be repeated: it raises Unauthenticated once the key is gone."""
    authenticator = cast("Authenticator", request.app.state.authenticator)
    return partial(authenticator.authenticate, request.headers.get("authorization"))


async def admin(caller: Annotated[Principal, Depends(principal)]) -> Principal:
    """The caller, who must be an admin; raises Forbidden."""
    caller.require_admin()
    return caller


Caller = Annotated[Principal, Depends(principal)]
Admin = Annotated[Principal, Depends(admin)]
