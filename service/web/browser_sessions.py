"""Sessions of browsers: their cookie, their CSRF token, and which requests may use them.

A page cannot read the cookie. A request with it is accepted only from a page of this origin, and if
it can change something, only with the token, which a page of another origin cannot read. A request
with an `Authorization` header is not one of a session, whatever cookies it has.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

from service.core.errors import Forbidden

CSRF_HEADER: Final = "x-csrf-token"
CREDENTIALS: Final = ("authorization", "cookie", CSRF_HEADER)
"""The headers of a request that say who sends it."""
COOKIE: Final = "finetuned-session"
SIGN_IN_COOKIE: Final = "finetuned-sign-in"
"""The cookie of a sign-in at the identity provider, until it ends."""
# Browsers accept a cookie with this prefix only over https, and not from another host.
_SECURE_PREFIX: Final = "__Host-"
SECURE_COOKIE: Final = f"{_SECURE_PREFIX}{COOKIE}"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})


def secret_of(scope: Scope) -> str | None:
    """Return the secret in a request's session cookie; None if it has no such cookie.

    Over https, only the cookie with the prefix counts: the other one may be from a page of another
    subdomain, or from a server that answers plain http, and would sign the browser in as someone
    else.
    """
    cookies = _cookies(scope)
    if secret := cookies.get(SECURE_COOKIE):
        return secret
    return None if _is_surely_https(scope) else cookies.get(COOKIE) or None


def _cookies(scope: Scope) -> dict[str, str]:
    cookies: dict[str, str] = {}
    for pair in (_header(scope, b"cookie") or "").split(";"):
        name, _, value = pair.partition("=")
        cookies.setdefault(name.strip(), value.strip())
    return cookies


def csrf_token(secret: str) -> str:
    """Return the CSRF token of a session."""
    digest = hmac.digest(secret.encode(), b"finetuned csrf token", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def origin_fault(scope: Scope) -> Forbidden | None:
    """Return the error of a request that a page of another origin sent, or None.

    Browsers say so in a header that pages cannot set. Old ones only send their origin.
    """
    site, origin = _header(scope, b"sec-fetch-site"), _header(scope, b"origin")
    if site is not None:
        is_own = site in _OWN_SITES
    elif origin is not None:
        is_own = urlsplit(origin).netloc.lower() == (_header(scope, b"host") or "").lower()
    else:
        is_own = True
    if is_own:
        return None
    return Forbidden(
        "The session of a browser can be used only by pages of the same origin. Send an API key "
        "instead.",
        code="cross_origin_session",
    )


def csrf_fault(scope: Scope, secret: str) -> Forbidden | None:
    """Return the error of a request that can change something and lacks the token, or None."""
    if scope["method"] in _SAFE_METHODS:
        return None
    given = _header(scope, CSRF_HEADER.encode()) or ""
    if hmac.compare_digest(given.encode(), csrf_token(secret).encode()):
        return None
    return Forbidden(
        "The header 'X-CSRF-Token' is missing or wrong. Send the 'csrf_token' of "
        "GET /v1/session with each request that changes something.",
        code="invalid_csrf_token",
    )


def is_https(scope: Scope) -> bool:
    """Return whether the browser sent a request over https, perhaps to a proxy.

    A client that claims so wrongly gets a cookie that it does not send back.
    """
    claims = (_header(scope, b"origin") or "").startswith("https://")
    return claims or _is_surely_https(scope)


def _is_surely_https(scope: Scope) -> bool:
    """Return whether the page is certainly of https: browsers send `Sec-Fetch-Site` only over https
    and to their own machine.
    """
    if scope.get("scheme") == "https":
        return True
    host = urlsplit(f"//{_header(scope, b'host') or ''}").hostname or "localhost"
    is_own_machine = host == "::1" or host.startswith("127.") or host.endswith("localhost")
    return _header(scope, b"sec-fetch-site") in _OWN_SITES and not is_own_machine


def cookie_for(secret: str, lifetime_s: int, *, is_https: bool) -> str:
    """Return the Set-Cookie header of a new session."""
    return _set_cookie(COOKIE, secret, lifetime_s, "Strict", is_secure=is_https)


def removal_of(scope: Scope) -> str:
    """Return the Set-Cookie header that removes the session cookie of a request."""
    return _set_cookie(COOKIE, "", 0, "Strict", is_secure=SECURE_COOKIE in _cookies(scope))


def sign_in_cookie(value: str, lifetime_s: int, *, is_https: bool) -> str:
    """Return the Set-Cookie header of a sign-in that begins, or of one that ends.

    It is not `Strict`: the browser must send it when the provider's page leads back.
    """
    return _set_cookie(SIGN_IN_COOKIE, value, lifetime_s, "Lax", is_secure=is_https)


def sign_in_of(scope: Scope, *, is_https: bool) -> str | None:
    """Return the value of the cookie of a sign-in; None if the request has none."""
    return _cookies(scope).get(f"{_SECURE_PREFIX if is_https else ''}{SIGN_IN_COOKIE}")


def _set_cookie(name: str, value: str, lifetime_s: int, sites: str, *, is_secure: bool) -> str:
    prefix, suffix = (_SECURE_PREFIX, "; Secure") if is_secure else ("", "")
    return (
        f"{prefix}{name}={value}; Path=/; Max-Age={lifetime_s}; HttpOnly; SameSite={sites}{suffix}"
    )


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value).decode("latin-1")
    return None
