"""Authenticates with tokens (JWT) of an OpenID Connect provider, in addition to API keys.

A token must be signed with one of the provider's keys, with an asymmetric algorithm, and name the
issuer and the audience. The first grant whose claim it has decides the project and the role.
Verified tokens are cached by their digests until they expire or the keys change.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec
from joserfc import jwt
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, MissingClaimError
from joserfc.jwk import KeySet

from service.config import OidcGrant, Settings
from service.core import clock
from service.core.errors import Unauthenticated, Unavailable
from service.projects.records import Projects, Role
from service.web.auth import Principal

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 4.0
_MAX_BYTES: Final = 1024 * 1024
_MAX_AGE_S: Final = 3600.0
_PAUSE_S: Final = 10.0
_ASYMMETRIC: Final = ("RSA", "EC", "OKP")
MAX_TOKEN_CHARS: Final = 16 * 1024
_MAX_CACHED: Final = 10_000
_MAX_SUBJECT_CHARS: Final = 255


class ProviderUnreadable(Exception):
    """The provider does not answer, or its answer cannot be used."""


class ProviderKeys:
    """The provider's public keys, at a path or a URL (`https://` or `http://`)."""

    def __init__(self, location: str, *, pause_s: float = _PAUSE_S) -> None:
        self.version = 0
        """Increases when the keys change."""
        self._location = location
        self._pause_s = pause_s
        self._keys: KeySet | None = None
        self._raw = b""
        self._read_at = self._tried_at = float("-inf")
        self._changed_ns = 0
        self._reading = asyncio.Lock()

    async def find(self, kid: str | None) -> KeySet | None:
        """Return the keys if one has this ID, or if there is only one and `kid` is None.

        Raises Unavailable if the keys were never read.
        """
        if self._is_stale(kid):
            async with self._reading:
                if self._is_stale(kid):
                    await self._refresh()
        if self._keys is None:
            raise Unavailable(
                "The keys of the identity provider cannot be read. Try again in a few seconds, or "
                "use an API key. The operator should check FINETUNED_OIDC_JWKS.",
                code="identity_provider_unavailable",
            )
        return self._keys if self._has(kid) else None

    def _has(self, kid: str | None) -> bool:
        keys = self._keys.keys if self._keys else []
        return len(keys) == 1 if kid is None else any(key.kid == kid for key in keys)

    def _is_stale(self, kid: str | None) -> bool:
        if not self._is_url:
            return self._changed_at() != self._changed_ns
        now = time.monotonic()
        if now - self._tried_at < self._pause_s:
            return False
        return now - self._read_at > _MAX_AGE_S or not self._has(kid)

    @property
    def _is_url(self) -> bool:
        return self._location.startswith(("https://", "http://"))

    def _changed_at(self) -> int:
        try:
            return Path(self._location).stat().st_mtime_ns
        except OSError:
            return -1

    async def _refresh(self) -> None:
        """Read the keys. After a failure, those read before stay in use."""
        self._tried_at = time.monotonic()
        try:
            if self._is_url:
                raw = await read(self._location)
            else:
                self._changed_ns = self._changed_at()
                raw = await asyncio.to_thread(Path(self._location).read_bytes)
            keys = _parse(raw)
        except (ProviderUnreadable, OSError) as e:
            log.warning("the keys of the identity provider cannot be read: %s", e)
            return
        self._read_at = self._tried_at
        if raw != self._raw:
            self._keys, self._raw = keys, raw
            self.version += 1


async def read(url: str) -> bytes:
    """Read a URL of the provider. Raises ProviderUnreadable."""
    status, raw = await send("GET", url)
    if status != 200:
        raise ProviderUnreadable(f"the answer has the status {status}")
    return raw


async def send(
    method: str,
    url: str,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Send a request to the provider, without following redirects, and return status and body.

    Raises ProviderUnreadable if the answer takes too long or is too large.
    """
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method, url, data=form, headers=headers, allow_redirects=False
            ) as response,
        ):
            raw = await response.content.read(_MAX_BYTES)
            while chunk := await response.content.read(_MAX_BYTES):
                raw += chunk
                if len(raw) > _MAX_BYTES:
                    raise ProviderUnreadable(f"the answer has more than {_MAX_BYTES} bytes")
            return response.status, raw
    except (aiohttp.ClientError, TimeoutError) as e:
        raise ProviderUnreadable(type(e).__name__) from e


def _parse(raw: bytes) -> KeySet:
    """Parse a JWKS, keeping the keys that can verify signatures. Raises ProviderUnreadable."""
    try:
        listed = msgspec.json.decode(raw, type=dict[str, Any]).get("keys")
        usable = [key for key in listed or () if _is_usable(key)]
        return KeySet.import_key_set({"keys": usable})
    except (msgspec.DecodeError, msgspec.ValidationError, JoseError, TypeError, ValueError) as e:
        raise ProviderUnreadable(
            "there is no JWKS with an RSA, EC or OKP key for signatures"
        ) from e


def _is_usable(key: Any) -> bool:
    is_known = isinstance(key, dict) and key.get("kty") in _ASYMMETRIC
    return is_known and key.get("use", "sig") == "sig"


class _Verified(NamedTuple):
    subject: str
    grant: OidcGrant
    expires_at: int
    issued_at: int


def is_token(secret: str) -> bool:
    """Return whether a bearer's secret has the form of a JWT, which no API key has."""
    return secret.startswith("eyJ") and secret.count(".") == 2


class Tokens:
    """Verifies tokens of one issuer."""

    def __init__(
        self,
        projects: Projects,
        keys: ProviderKeys,
        *,
        issuer: str,
        audience: str,
        algorithms: Sequence[str],
        leeway_s: int,
        grants: Sequence[OidcGrant],
        are_id_tokens: bool = False,
        refuses_id_tokens: bool = False,
    ) -> None:
        """Create the verifier.

        ID tokens say who signed in; the session that then begins outlives them, with an end of its
        own. `accept` checks a new one in full.
        """
        self._projects = projects
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._algorithms = list(algorithms)
        self._leeway_s = leeway_s
        self._grants = grants
        self._are_id_tokens = are_id_tokens
        self._refuses_id_tokens = refuses_id_tokens
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()
        self._version = keys.version

    @classmethod
    def from_settings(cls, settings: Settings, projects: Projects) -> Tokens | None:
        """Create the verifier of tokens; None if no issuer is configured."""
        if not settings.oidc_issuer or not settings.oidc_audience or not settings.oidc_jwks:
            return None
        return cls(
            projects,
            ProviderKeys(settings.oidc_jwks),
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            algorithms=settings.oidc_algorithms,
            leeway_s=settings.oidc_leeway_s,
            grants=settings.oidc_grants,
            # With another audience, those of sign-ins are refused as it is.
            refuses_id_tokens=settings.oidc_client_id == settings.oidc_audience,
        )

    def of_clients(self, client_id: str) -> Tokens:
        """Return the verifier of the ID tokens that the issuer gives to a client."""
        return Tokens(
            self._projects,
            self._keys,
            issuer=self._issuer,
            audience=client_id,
            algorithms=self._algorithms,
            leeway_s=self._leeway_s,
            grants=self._grants,
            are_id_tokens=True,
        )

    async def accept(self, token: str, nonce: str) -> Principal:
        """Return the person whom a new ID token names. Raises Unauthenticated and Unavailable."""
        if not is_token(token) or len(token) > MAX_TOKEN_CHARS:
            raise _invalid(f"is not a JWT of at most {MAX_TOKEN_CHARS} characters")
        return await self._principal_of(await self._verify(token, nonce))

    async def find_principal(self, secret: str) -> Principal | None:
        """Return the bearer of a token, or the owner of an API key; None if there is none.

        Raises Unauthenticated, Unavailable if the issuer's keys were never read, and REDIS_ERRORS.
        """
        if not is_token(secret):
            return await self._projects.find_principal(secret)
        return await self._principal_of(await self._verify_cached(secret))

    async def _principal_of(self, verified: _Verified) -> Principal:
        project = await self._projects.by_name(verified.grant.project)
        if project is None:
            raise Unauthenticated(
                f"The token grants access to the project '{verified.grant.project}', which does "
                "not exist. The operator must create it, or correct FINETUNED_OIDC_GRANTS.",
                code="no_project",
            )
        return Principal(
            key_id=_bearer_id(self._issuer, verified.subject),
            project_id=project.id,
            project_name=project.name,
            role=Role(verified.grant.role),
            models=None if verified.grant.models is None else frozenset(verified.grant.models),
            expires_at=None if self._are_id_tokens else verified.expires_at,
            project_limits=project.limits,
            is_archived=project.archived_at is not None,
            capture=project.capture,
            token_subject=verified.subject,
            token_issued_at=verified.issued_at,
        )

    async def _verify_cached(self, token: str) -> _Verified:
        digest = hashlib.sha256(token.encode()).digest()
        found = self._cache.get(digest) if self._version == self._keys.version else None
        if found is not None and (self._are_id_tokens or clock.now() < found.expires_at):
            self._cache.move_to_end(digest)
            return found
        found = await self._verify(token)
        if self._version != self._keys.version:  # a key may have been withdrawn
            self._cache.clear()
            self._version = self._keys.version
        self._cache[digest] = found
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        return found

    async def _verify(self, token: str, nonce: str | None = None) -> _Verified:
        """Check signature and claims of a token. Raises Unauthenticated and Unavailable.

        With `nonce`, the token must answer the sign-in that has it.
        """
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms:
            raise _invalid(
                f"is signed with the algorithm '{str(algorithm)[:20]}'; accepted are "
                f"{', '.join(self._algorithms)}"
            )
        if kid is not None and not isinstance(kid, str):
            raise _invalid("names no key: 'kid' in its header is not a string")
        keys = await self._keys.find(kid)
        if keys is None:
            raise _invalid(
                "is signed with a key that the identity provider does not have (or has had for "
                "less than ten seconds)"
            )
        try:
            claims = jwt.decode(token, keys, algorithms=self._algorithms).claims
        except (JoseError, ValueError) as e:
            raise _invalid("has a signature that does not match") from e
        self._check_claims(claims, nonce)
        subject = str(claims["sub"])[:_MAX_SUBJECT_CHARS]
        return _Verified(
            subject,
            self._grant_of(claims),
            int(claims["exp"]) + self._leeway_s,
            int(claims.get("iat", clock.now())),
        )

    def _check_claims(self, claims: dict[str, Any], nonce: str | None) -> None:
        expected: dict[str, Any] = {
            "iss": {"essential": True, "value": self._issuer},
            "aud": {"essential": True, "value": self._audience},
            "sub": {"essential": True},
            "exp": {"essential": True},
        }
        if nonce is not None:
            expected |= {"nonce": {"essential": True, "value": nonce}}
            if "azp" in claims:  # the client, if there are several audiences
                expected |= {"azp": {"value": self._audience}}
        elif self._are_id_tokens:  # of a session, which outlives it
            del expected["exp"]
            claims = {name: value for name, value in claims.items() if name != "exp"}
        elif self._refuses_id_tokens and "nonce" in claims:
            raise _invalid("is the ID token of a sign-in")
        registry = jwt.JWTClaimsRegistry(now=clock.now_s(), leeway=self._leeway_s, **expected)
        try:
            registry.validate(claims)
        except ExpiredTokenError as e:
            raise Unauthenticated(
                "The token has expired. Get another one from the identity provider.",
                code="token_expired",
            ) from e
        except MissingClaimError as e:
            raise _invalid(f"lacks the claim '{e.claim}'") from e
        except ClaimError as e:
            raise _invalid(f"has a claim '{e.claim}' that is not valid here") from e

    def _grant_of(self, claims: Mapping[str, Any]) -> OidcGrant:
        for grant in self._grants:
            if grant.value in _values(claims, grant.claim):
                return grant
        names = ", ".join(sorted({f"'{grant.claim}'" for grant in self._grants}))
        raise Unauthenticated(
            f"The token grants access to no project: FINETUNED_OIDC_GRANTS has no entry for the "
            f"values of {names}.",
            code="no_project",
        )


def _header(token: str) -> dict[str, Any]:
    encoded = token.partition(".")[0]
    try:
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (binascii.Error, ValueError, msgspec.DecodeError) as e:
        raise _invalid("cannot be read: it is not a JWT") from e


def _values(claims: Mapping[str, Any], path: str) -> list[str]:
    """Return the strings of a claim. Dots denote nested objects, as in `realm_access.roles`."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    values = found if isinstance(found, list) else [found]
    return [value for value in values if isinstance(value, str)]


def _invalid(what: str) -> Unauthenticated:
    return Unauthenticated(f"The token {what}.", code="invalid_token")


def _bearer_id(issuer: str, subject: str) -> str:
    """Return the ID under which usage and limits of a bearer are recorded."""
    return f"oidc_{hashlib.sha256(f'{issuer} {subject}'.encode()).hexdigest()[:24]}"
