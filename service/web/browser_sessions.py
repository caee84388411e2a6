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
# Browsers accept a cookie with this prefix only over https, and not from another host.
SECURE_COOKIE: Final = f"__Host-{COOKIE}"
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


def cookie_for(scope: Scope, secret: str, lifetime_s: int) -> str:
    """Return the Set-Cookie header of a new session."""
    return _set_cookie(SECURE_COOKIE if is_https(scope) else COOKIE, secret, lifetime_s)


def removal_of(scope: Scope) -> str:
    """Return the Set-Cookie header that removes the session cookie of a request."""
    return _set_cookie(SECURE_COOKIE if SECURE_COOKIE in _cookies(scope) else COOKIE, "", 0)


def _set_cookie(name: str, value: str, lifetime_s: int) -> str:
    suffix = "; Secure" if name == SECURE_COOKIE else ""
    return f"{name}={value}; Path=/; Max-Age={lifetime_s}; HttpOnly; SameSite=Strict{suffix}"


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value).decode("latin-1")
    return None
