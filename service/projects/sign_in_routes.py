"""`/v1/session/methods`, and the two addresses of the sign-in through the identity provider.

A browser opens these two, no program: they answer with redirects, and are not in openapi.json.
"""

from __future__ import annotations

import logging
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from service.core import clock
from service.core.errors import ApiError, BadRequest, RateLimited, Unauthenticated
from service.core.redis import REDIS_ERRORS, Purpose, set_purpose, why
from service.projects.sessions import Sessions
from service.projects.sign_in import HOME, LIFETIME_S, Attempt, Fault, SignIn, SignInFailed
from service.web import browser_sessions, request_audit
from service.web.audit_events import AuditEvent
from service.web.auth import Authenticator, Failure, FailureReason
from service.web.deps import resource
from service.web.permissions import EVENT
from service.web.resources import ListOf, list_of

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/session", tags=["Projects"])
Store = Annotated[Sessions, Depends(resource("sessions"))]
MaybeSignIn = Annotated[SignIn | None, Depends(resource("sign_in"))]
_Authenticator = Annotated[Authenticator, Depends(resource("authenticator"))]
_PAGE: Final = f"{HOME}/sign-in"
# These are no attempts to sign in as someone else: the provider or Redis failed.
_NOT_OF_THE_PERSON: Final = frozenset[Fault]({"provider_unavailable", "unavailable"})


class SignInMethod(BaseModel):
    """A way to sign in to the console."""

    object: Literal["sign_in_method"] = "sign_in_method"
    type: Literal["api_key", "oidc"] = Field(
        description="`api_key`: with `createSession`. `oidc`: through the identity provider."
    )
    name: str | None = Field(
        description="Name of the identity provider; null for keys, or if it has none.",
        examples=["Example Bank"],
    )
    url: str | None = Field(
        description="Path to open in the browser to sign in; null for keys. The query parameter "
        "`next` is the path of the console to return to.",
        examples=["/v1/session/authorize"],
    )


@router.get("/methods", operation_id="listSignInMethods", summary="List the ways to sign in")
async def list_methods(sign_in: MaybeSignIn) -> ListOf[SignInMethod]:
    """List the ways to sign in to the console of this installation. Needs no API key."""
    methods = [SignInMethod(type="api_key", name=None, url=None)]
    if sign_in is not None:
        url = f"{router.prefix}/authorize"
        methods.append(SignInMethod(type="oidc", name=sign_in.name, url=url))
    return list_of(methods, has_more=False)


async def _configured(sign_in: MaybeSignIn) -> SignIn:
    if sign_in is None:
        raise BadRequest(
            "No identity provider is configured for sign-in. Sign in with an API key, or ask the "
            "operator to set FINETUNED_OIDC_CLIENT_ID.",
            code="feature_disabled",
        )
    return sign_in


Configured = Annotated[SignIn, Depends(_configured)]


@router.get("/authorize", operation_id="beginSignIn", include_in_schema=False)
async def begin(request: Request, sign_in: Configured) -> RedirectResponse:
    """Send the browser to the identity provider."""
    try:
        url, attempt = await sign_in.begin(request.query_params.get("next", HOME))
    except SignInFailed as e:
        return _failed(e)
    response = RedirectResponse(url, 303)
    response.headers["set-cookie"] = _cookie_of(sign_in, attempt)
    return response


@router.get(
    "/callback",
    operation_id="completeSignIn",
    include_in_schema=False,
    openapi_extra={EVENT: AuditEvent.SESSION_CREATED.value},
)
async def complete(
    request: Request, sign_in: Configured, store: Store, authenticator: _Authenticator
) -> RedirectResponse:
    """Begin the session of a person whom the identity provider sent back with a code."""
    cookie = browser_sessions.sign_in_of(request.scope, is_https=sign_in.is_https)
    set_purpose(Purpose.RELEASE)  # so that people can sign in while the memory of Redis is full
    try:
        address = request.app.state.client_addresses.find(request.scope)
        person, token, attempt = await sign_in.complete(request.query_params, cookie, address)
        request_audit.begin(request, person, AuditEvent.SESSION_CREATED)
        session, secret = await store.begin(person, token, is_sign_in=True)
    except SignInFailed as e:
        is_ours = e.fault in _NOT_OF_THE_PERSON
        response = _failed(e if is_ours else await _noted(e, request, authenticator))
        if e.fault != "state_mismatch":  # another page may have caused that
            response.headers["set-cookie"] = _cookie_of(sign_in, None)
        return response
    except REDIS_ERRORS as e:
        log.warning("a sign-in failed, since Redis did not answer: %s", why(e))
        request_audit.discard(request)
        return _failed(SignInFailed("unavailable"))
    response = RedirectResponse(attempt.next, 303)
    lifetime_s = session.expires_at - clock.now_s()
    for header in (
        browser_sessions.cookie_for(secret, lifetime_s, is_https=sign_in.is_https),
        _cookie_of(sign_in, None),
    ):
        response.headers.append("set-cookie", header)
    return response


def _cookie_of(sign_in: SignIn, attempt: Attempt | None) -> str:
    """Return the Set-Cookie header of a sign-in that begins, or, with None, of one that ends."""
    value, lifetime_s = ("", 0) if attempt is None else (attempt.cookie, LIFETIME_S)
    return browser_sessions.sign_in_cookie(value, lifetime_s, is_https=sign_in.is_https)


async def _noted(
    failed: SignInFailed, request: Request, authenticator: Authenticator
) -> SignInFailed:
    """Record a failure in the audit log, and return it, or that there were too many."""
    error = Unauthenticated("The sign-in failed.", code=failed.fault)
    try:
        await authenticator.refuse(Failure(FailureReason.SIGN_IN, error, request.scope))
    except RateLimited:
        return SignInFailed("too_many_attempts", failed.next)
    except ApiError:
        return failed


def _failed(failed: SignInFailed) -> RedirectResponse:
    """Return to the sign-in page, which explains the failure: the provider's text is not shown."""
    query = {"error": failed.fault, **({} if failed.next == HOME else {"next": failed.next})}
    return RedirectResponse(f"{_PAGE}?{urlencode(query)}", 303)
