"""`/v1/session`: sign-in and sign-out of browsers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from service.core import clock
from service.core.errors import NotFound, Unauthenticated
from service.projects.sessions import Session, Sessions
from service.projects.whoami import CallerObject, retrieve_caller
from service.web import browser_sessions
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, deleted

router = APIRouter(prefix="/v1/session", tags=["Projects"])
Store = Annotated[Sessions, Depends(resource("sessions"))]
WhoAmI = Annotated[CallerObject, Depends(retrieve_caller)]
_BY_COOKIE: Final[dict[str, Any]] = {"security": [{"Session": []}]}


class SessionObject(BaseModel):
    """Session of a browser: who is signed in, and the token for requests that change something."""

    object: Literal["session"] = "session"
    id: str = Field(description="ID of the session.", examples=["session_abc123"])
    created_at: int = Field(description="Time of the sign-in, in Unix seconds.")
    expires_at: int = Field(description="Time at which the session ends, in Unix seconds.")
    csrf_token: str = Field(
        description="Value of the header `X-CSRF-Token`, which requests with the cookie need "
        "unless their method is GET or HEAD."
    )
    caller: CallerObject


async def _existing(request: Request, caller: Caller, store: Store) -> tuple[Session, str]:
    """Return the session of the request, and its secret."""
    secret = browser_sessions.secret_of(request.scope)
    session = None
    if secret is not None and caller.session_expires_at is not None:
        session = await store.get(secret)
    if secret is None or session is None:
        raise NotFound(
            "The request was sent with an API key, not with the cookie of a session. Sign in with "
            "POST /v1/session."
        )
    return session, secret


Existing = Annotated[tuple[Session, str], Depends(_existing)]


@router.post(
    "",
    operation_id="createSession",
    summary="Sign in with a browser",
    responses={200: {"headers": headers("set-cookie")}},
    openapi_extra=needs(Permission.CALLER_READ, AuditEvent.SESSION_CREATED),
)
async def create_session(
    request: Request, response: Response, caller: Caller, store: Store, who: WhoAmI
) -> SessionObject:
    """Begin a session with the API key of the request, or with a token of the identity provider.
    The answer sets a cookie that pages cannot read. Further requests need no `Authorization`
    header; those that change something need the header `X-CSRF-Token`.

    The cookie works only for pages of the same origin. The session ends after
    `FINETUNED_SESSION_LIFETIME_S` (12 hours), with its key or token, or by `DELETE /v1/session`. A
    key may have 100 sessions; then the oldest ends.
    """
    credential = request.headers.get("authorization", "").partition(" ")[2].strip()
    if not credential:
        raise Unauthenticated(
            "A session begins with an API key. Send it in the header 'Authorization: Bearer <key>'."
        )
    session, secret = await store.begin(caller, credential)
    lifetime_s = session.expires_at - clock.now_s()
    is_https = browser_sessions.is_https(request.scope)
    cookie = browser_sessions.cookie_for(secret, lifetime_s, is_https=is_https)
    response.headers["set-cookie"] = cookie
    return _object(session, secret, who)


@router.get(
    "",
    operation_id="getSession",
    summary="Retrieve the session",
    openapi_extra=needs(Permission.CALLER_READ, **_BY_COOKIE),
)
async def get_session(existing: Existing, who: WhoAmI) -> SessionObject:
    """Retrieve the session of the request's cookie, with its CSRF token."""
    return _object(*existing, who)


@router.delete(
    "",
    operation_id="deleteSession",
    summary="Sign out",
    responses={200: {"headers": headers("set-cookie")}},
    openapi_extra=needs(Permission.CALLER_READ, AuditEvent.SESSION_DELETED, **_BY_COOKIE),
)
async def delete_session(
    request: Request, response: Response, existing: Existing, store: Store
) -> Deleted:
    """End the session of the request's cookie in all processes, and remove the cookie."""
    session, secret = existing
    await store.end(secret, session)
    response.headers["set-cookie"] = browser_sessions.removal_of(request.scope)
    return deleted(session.id, "session")


def _object(session: Session, secret: str, who: CallerObject) -> SessionObject:
    return SessionObject(
        id=session.id,
        created_at=session.created_at,
        expires_at=session.expires_at,
        csrf_token=browser_sessions.csrf_token(secret),
        caller=who,
    )
