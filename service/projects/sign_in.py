"""Sign-in of people through the identity provider: OpenID Connect's authorization code flow, with
PKCE (RFC 7636), `state` and `nonce`.

    begin      the browser gets a cookie with a secret, and goes to the provider
    complete   the provider sends it back with a code; the API exchanges the code for an ID token

Nothing is stored until the end: `state`, `nonce` and the verifier of PKCE are derived from the
secret in the cookie, so any replica can complete what another one began. A code that was stolen, or
that an attacker slipped to the browser, is useless without the cookie of the same attempt.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias
from urllib.parse import quote_plus, unquote, urlencode, urlsplit

import msgspec

from service.config import Settings
from service.config.http import is_safe_url
from service.core import clock
from service.core.backpressure import Slots
from service.core.errors import RateLimited, Unauthenticated, Unavailable
from service.core.networks import Address
from service.projects.oidc import ProviderUnreadable, Tokens, read, send
from service.web.auth import Principal
from service.web.client_address import FailureThrottle, client_of

log = logging.getLogger(__name__)

HOME: Final = "/console"
LIFETIME_S: Final = 600
"""Time that a person has to sign in at the provider."""
_MAX_NEXT_CHARS: Final = 1000
_MAX_CODE_CHARS: Final = 4096
_DISCOVERY_MAX_AGE_S: Final = 3600.0
_DISCOVERY_PAUSE_S: Final = 10.0
# What a path, a query and a fragment may consist of (RFC 3986), percent-encoded bytes included.
_NEXT: Final = re.compile(r"/console(?:[/?#](?:[\w.~!$&'()*+,;=:@/?#-]|%[0-9A-Fa-f]{2})*)?", re.A)

Fault: TypeAlias = Literal[
    "denied",
    "state_mismatch",
    "expired",
    "no_grant",
    "provider_unavailable",
    "provider_error",
    "too_many_attempts",
    "unavailable",
]
# Errors of OAuth (RFC 6749) and OpenID Connect that the provider sends back with the browser.
_OF_PROVIDERS: Final[Mapping[str, Fault]] = {
    "access_denied": "denied",
    "consent_required": "denied",
    "interaction_required": "denied",
    "login_required": "denied",
    "account_selection_required": "denied",
    "server_error": "provider_unavailable",
    "temporarily_unavailable": "provider_unavailable",
}


class SignInFailed(Exception):
    """A sign-in did not succeed. `next` is where the person wanted to go, if that is known."""

    def __init__(self, fault: Fault, next_: str = HOME) -> None:
        super().__init__(fault)
        self.fault: Fault = fault
        self.next = next_


def safe_next(path: str) -> str:
    """Return a path of the console to which a browser may be sent, or the console's own."""
    if len(path) > _MAX_NEXT_CHARS or not _NEXT.fullmatch(path):
        return HOME
    plain = unquote(re.split(r"[?#]", path, maxsplit=1)[0])
    is_odd = "//" in plain or "\\" in plain or not plain.isprintable()
    return HOME if is_odd or {".", ".."} & set(plain.split("/")) else path


@dataclass(frozen=True)
class Attempt:
    """A sign-in that a browser began. Its cookie holds all of this."""

    secret: str
    began_at: int
    next: str

    @classmethod
    def begin(cls, next_: str) -> Self:
        """Begin a sign-in that leads to a path of the console."""
        return cls(secrets.token_urlsafe(32), clock.now_s(), safe_next(next_))

    @classmethod
    def read(cls, cookie: str) -> Self | None:
        """Return the attempt of a cookie, or None if it is none."""
        secret, _, rest = cookie.partition(".")
        began_at, _, path = rest.partition(".")
        if len(secret) != 43 or not re.fullmatch(r"[0-9]{1,12}", began_at):
            return None
        try:
            return cls(secret, int(began_at), safe_next(_decode(path).decode()))
        except ValueError:
            return None

    @property
    def cookie(self) -> str:
        """The value of its cookie."""
        return f"{self.secret}.{self.began_at}.{_encode(self.next.encode())}"

    @property
    def state(self) -> str:
        """What the provider returns unchanged. It binds the answer to this browser and path."""
        return self._derive(f"state {self.began_at} {self.next}")

    @property
    def nonce(self) -> str:
        """What the ID token must repeat."""
        return self._derive("nonce")

    @property
    def verifier(self) -> str:
        """What the exchange of the code needs. The browser shows the provider only its digest."""
        return self._derive("verifier")

    @property
    def challenge(self) -> str:
        """The digest of the verifier."""
        return _encode(hashlib.sha256(self.verifier.encode()).digest())

    @property
    def has_expired(self) -> bool:
        """Whether it began too long ago."""
        return abs(clock.now_s() - self.began_at) > LIFETIME_S

    def _derive(self, purpose: str) -> str:
        digest = hmac.digest(self.secret.encode(), f"finetuned {purpose}".encode(), hashlib.sha256)
        return _encode(digest)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as e:
        raise ValueError("not base64url") from e


class Endpoints(NamedTuple):
    """The addresses of a provider that a sign-in uses."""

    authorization: str
    token: str
    takes_basic: bool = True
    """Whether the client's secret goes into the header `Authorization`, not into the form."""


class Provider:
    """The identity provider, as a client of OAuth sees it."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str | None,
        redirect_uri: str,
        scopes: tuple[str, ...],
        endpoints: Endpoints | None,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._scope = " ".join(scopes)
        self._endpoints = endpoints
        self._is_fixed = endpoints is not None
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    async def authorization_url(self, attempt: Attempt) -> str:
        """Return the address of the provider's sign-in page. Raises ProviderUnreadable."""
        endpoint = (await self._discover()).authorization
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self._scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    async def redeem(self, code: str, attempt: Attempt) -> str:
        """Exchange a code for an ID token.

        Raises SignInFailed if the provider refuses the code, and ProviderUnreadable.
        """
        endpoints = await self._discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"accept": "application/json"}
        if self._client_secret is not None and endpoints.takes_basic:
            login = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        else:
            form["client_id"] = self._client_id
            if self._client_secret is not None:
                form["client_secret"] = self._client_secret
        status, raw = await send("POST", endpoints.token, form, headers)
        if status >= 500:
            raise ProviderUnreadable(f"the answer has the status {status}")
        answer = _object(raw)
        token = answer.get("id_token")
        if status != 200 or not isinstance(token, str):
            log.warning(
                "the identity provider gave no ID token for a code: status %d, error %.60r",
                status,
                answer.get("error"),
            )
            raise SignInFailed("provider_error", attempt.next)
        return token

    async def _discover(self) -> Endpoints:
        """Return the endpoints. After a failure, those read before stay in use."""
        if self._is_stale():
            async with self._reading:
                if self._is_stale():
                    await self._refresh()
        if self._endpoints is None:
            raise ProviderUnreadable("its discovery document cannot be read")
        return self._endpoints

    def _is_stale(self) -> bool:
        now = time.monotonic()
        if self._is_fixed or now - self._tried_at < _DISCOVERY_PAUSE_S:
            return False
        return now - self._read_at > _DISCOVERY_MAX_AGE_S

    async def _refresh(self) -> None:
        self._tried_at = time.monotonic()
        try:
            raw = await read(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            self._endpoints = _endpoints(_object(raw), self._issuer)
        except ProviderUnreadable as e:
            log.warning("the discovery document of the identity provider cannot be read: %s", e)
            return
        self._read_at = self._tried_at


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError as e:
        raise ProviderUnreadable("the answer is not a JSON object") from e


def _endpoints(document: Mapping[str, Any], issuer: str) -> Endpoints:
    """Return the endpoints in a discovery document. Raises ProviderUnreadable."""
    if document.get("issuer") != issuer:
        raise ProviderUnreadable("it names another issuer than FINETUNED_OIDC_ISSUER")
    page, token = document.get("authorization_endpoint"), document.get("token_endpoint")
    if not isinstance(page, str) or not isinstance(token, str):
        raise ProviderUnreadable("it lacks the endpoints")
    if not is_safe_url(page) or not is_safe_url(token):
        raise ProviderUnreadable("its endpoints are not of https")
    if urlsplit(token).netloc != urlsplit(issuer).netloc:
        # The API connects only to hosts that the operator named.
        raise ProviderUnreadable(
            "its token endpoint is on another host than the issuer. Set "
            "FINETUNED_OIDC_TOKEN_ENDPOINT and FINETUNED_OIDC_AUTHORIZATION_ENDPOINT"
        )
    ways = document.get("token_endpoint_auth_methods_supported")
    takes_basic = not isinstance(ways, list) or "client_secret_basic" in ways
    return Endpoints(page, token, takes_basic)


def _busy() -> RateLimited:
    return RateLimited("Too many people sign in. Try again in a few seconds.", code="limit_reached")


class SignIn:
    """Signs people in through the identity provider."""

    def __init__(
        self,
        provider: Provider,
        tokens: Tokens,
        *,
        issuer: str,
        name: str | None,
        is_https: bool,
        most_failures: int,
    ) -> None:
        self.name = name
        """Name of the provider for people."""
        self.is_https = is_https
        """Whether browsers reach this installation over https."""
        self.find_person = tokens.find_principal
        self._provider = provider
        self._tokens = tokens
        self._issuer = issuer
        # Anyone can make the API send codes to the provider, so few addresses must not fill it.
        self._exchanges = Slots(16, _busy, most_per_owner=8, wait_s=5)
        # Only exchanges that the provider refused count, which no page of others can cause.
        self._refused = FailureThrottle(most_failures)

    @classmethod
    def from_settings(cls, settings: Settings, tokens: Tokens | None) -> SignIn | None:
        """Create it; None if no client of a provider is configured."""
        s = settings
        if tokens is None or not s.oidc_issuer or not s.oidc_client_id or not s.oidc_redirect_uri:
            return None
        secret = s.oidc_client_secret
        page, token = s.oidc_authorization_endpoint, s.oidc_token_endpoint
        provider = Provider(
            s.oidc_issuer,
            s.oidc_client_id,
            None if secret is None else secret.get_secret_value(),
            s.oidc_redirect_uri,
            s.oidc_scopes,
            Endpoints(page, token) if page and token else None,
        )
        return cls(
            provider,
            tokens.of_clients(s.oidc_client_id),
            issuer=s.oidc_issuer,
            name=s.oidc_display_name,
            is_https=s.oidc_redirect_uri.startswith("https://"),
            most_failures=s.failed_authentications_per_minute,
        )

    async def begin(self, next_: str) -> tuple[str, Attempt]:
        """Return the address of the provider's sign-in page, and what the browser must keep.

        Raises SignInFailed.
        """
        attempt = Attempt.begin(next_)
        try:
            return await self._provider.authorization_url(attempt), attempt
        except ProviderUnreadable as e:
            raise SignInFailed("provider_unavailable", attempt.next) from e

    async def complete(
        self, query: Mapping[str, str], cookie: str | None, address: Address | None
    ) -> tuple[Principal, str, Attempt]:
        """Return who signed in, the ID token, and the attempt.

        `query` is what the provider sent with the browser, which has this address. Raises
        SignInFailed.
        """
        attempt = None if cookie is None else Attempt.read(cookie)
        given = query.get("state", "").encode()
        if attempt is None or not hmac.compare_digest(given, attempt.state.encode()):
            raise SignInFailed("state_mismatch")
        if attempt.has_expired:
            raise SignInFailed("expired", attempt.next)
        if query.get("iss", self._issuer) != self._issuer:  # RFC 9207
            raise SignInFailed("provider_error", attempt.next)
        if error := query.get("error"):
            fault = _OF_PROVIDERS.get(error, "provider_error")
            log.log(
                logging.INFO if fault == "denied" else logging.WARNING,
                "the identity provider refused a sign-in: %.60r",
                error,
            )
            raise SignInFailed(fault, attempt.next)
        code = query.get("code", "")
        if not 0 < len(code) <= _MAX_CODE_CHARS:
            raise SignInFailed("provider_error", attempt.next)
        if self._refused.is_over(address):
            raise SignInFailed("too_many_attempts", attempt.next)
        try:
            async with self._exchanges.hold(str(client_of(address))):
                token = await self._provider.redeem(code, attempt)
            person = await self._tokens.accept(token, attempt.nonce)
        except SignInFailed:
            self._refused.record_failure(address)
            raise
        except (ProviderUnreadable, Unavailable) as e:
            log.warning("a sign-in failed, since the identity provider cannot be read: %s", e)
            raise SignInFailed("provider_unavailable", attempt.next) from e
        except RateLimited as e:
            raise SignInFailed("too_many_attempts", attempt.next) from e
        except Unauthenticated as e:
            log.warning("a sign-in was refused: %s", e.message)
            fault = "no_grant" if e.code == "no_project" else "provider_error"
            raise SignInFailed(fault, attempt.next) from e
        if person.is_archived:
            raise SignInFailed("no_grant", attempt.next)
        return person, token, attempt
