"""An OpenID Connect provider on loopback, with the authorization code flow and PKCE.

It checks what a provider has to check: the client and its secret, the exact redirect URI, that a
code is used once and by the client that has its verifier. People sign in with a form that asks for
their name only. `fault` makes its token endpoint misbehave.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import html
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from pydantic import SecretStr

from service.config import OidcGrant
from tests.http_server import http_server

CLIENT_ID, CLIENT_SECRET = "finetuned-console", "a secret: 100% + &"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class OidcProvider:
    """The provider, with the people that it knows and the claims of each."""

    redirect_uri: str
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    client_secret: str | None = CLIENT_SECRET
    """None: a public client."""
    takes_basic: bool = True
    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    lifetime_s: int = 300
    claims: dict[str, Any] = field(default_factory=dict)
    """Claims that replace those of each ID token."""
    discovery: dict[str, Any] = field(default_factory=dict)
    """Fields that replace those of the discovery document."""
    fault: Handler | None = None
    requests: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        self.requests.append(request.path)
        handlers: dict[str, Handler] = {
            "/.well-known/openid-configuration": self._discovery,
            "/jwks": self._jwks,
            "/authorize": self._authorize,
            "/token": self._token,
        }
        if request.path == "/token" and self.fault is not None:
            return await self.fault(request)
        found = handlers.get(request.path)
        return web.Response(status=404) if found is None else await found(request)

    async def _discovery(self, _: web.Request) -> web.Response:
        way = "client_secret_basic" if self.takes_basic else "client_secret_post"
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": [way if self.client_secret else "none"],
                **self.discovery,
            }
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet([self.key]).as_dict(private=False))

    async def _authorize(self, request: web.Request) -> web.Response:
        """Show the sign-in form, or send a person who filled it in back with a code."""
        query = request.query
        if query["client_id"] != CLIENT_ID or query["redirect_uri"] != self.redirect_uri:
            return web.Response(status=400, text="unknown client or redirect URI")
        if fault := self._fault_of(query):
            return self._back(query, error=fault)
        if request.method != "POST":
            form = '<form method="post"><input name="sub" autofocus><button>Sign in</button></form>'
            return web.Response(
                text=f"<!doctype html><title>{html.escape(self.issuer)}</title>{form}",
                content_type="text/html",
            )
        sub = str((await request.post())["sub"])
        if sub not in self.people:
            return self._back(query, error="access_denied", error_description="<script>unknown")
        code = secrets.token_urlsafe(16)
        self._codes[code] = {**query, "sub": sub}
        return self._back(query, code=code)

    @staticmethod
    def _fault_of(query: Any) -> str | None:
        if query.get("response_type") != "code":
            return "unsupported_response_type"
        if "openid" not in query["scope"].split():
            return "invalid_scope"
        is_bound = query.get("code_challenge_method") == "S256" and query.get("code_challenge")
        return None if is_bound else "invalid_request"

    def _back(self, query: Any, **answer: str) -> web.Response:
        answer |= {"state": query["state"], "iss": self.issuer}
        return web.Response(
            status=302, headers={"location": f"{self.redirect_uri}?{urlencode(answer)}"}
        )

    async def _token(self, request: web.Request) -> web.Response:
        """Exchange a code for an ID token."""
        form = await request.post()
        if not self._is_client(request, form):
            return web.json_response({"error": "invalid_client"}, status=401)
        asked = self._codes.pop(str(form.get("code")), None)
        digest = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            form.get("grant_type") != "authorization_code"
            or asked is None
            or asked["redirect_uri"] != form.get("redirect_uri")
            or not hmac.compare_digest(challenge, asked["code_challenge"])
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = self.id_token(asked["sub"], nonce=asked.get("nonce"))
        return web.json_response(
            {"access_token": "unused", "token_type": "Bearer", "expires_in": 60, "id_token": token}
        )

    def _is_client(self, request: web.Request, form: Any) -> bool:
        if self.client_secret is None:
            return form.get("client_id") == CLIENT_ID
        if not self.takes_basic:
            given = (form.get("client_id"), form.get("client_secret"))
        else:
            scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
            if scheme != "Basic":
                return False
            name, _, secret = base64.b64decode(encoded).decode().partition(":")
            given = (unquote_plus(name), unquote_plus(secret))
        return given == (CLIENT_ID, self.client_secret)

    def id_token(self, sub: str, **claims: Any) -> str:
        """Sign an ID token."""
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": sub,
            "iat": now,
            "exp": now + self.lifetime_s,
            **self.people.get(sub, {}),
            **claims,
            **self.claims,
        }
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, said, self.key)


def settings_for(provider: OidcProvider, grants: Sequence[OidcGrant]) -> dict[str, Any]:
    """Return the settings of an API whose people sign in through the provider."""
    secret = provider.client_secret
    return {
        "oidc_issuer": provider.issuer,
        "oidc_audience": "finetuned",
        "oidc_jwks": f"{provider.issuer}/jwks",
        "oidc_grants": tuple(grants),
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": None if secret is None else SecretStr(secret),
        "oidc_redirect_uri": provider.redirect_uri,
        "oidc_display_name": "Example Bank",
    }


async def hang(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.sleep(3600)
    return web.Response()


async def answer_without_end(request: web.Request) -> web.StreamResponse:
    """Send more and more."""
    response = web.StreamResponse(headers={"content-type": "application/json"})
    await response.prepare(request)
    for _ in range(64):
        await response.write(b" " * 1024 * 1024)
    return response


@asynccontextmanager
async def oidc_provider(redirect_uri: str, **people: Any) -> AsyncIterator[OidcProvider]:
    """Run a provider. `people` are the claims of each person."""
    provider = OidcProvider(redirect_uri, people)
    async with http_server(provider.answer) as url:
        provider.issuer = url
        yield provider
