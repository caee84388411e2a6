"""Authentication: from the Authorization header, or the cookie of a session, to a principal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Literal, NamedTuple, NoReturn, TypeAlias

from starlette.types import Scope

from service.config.limits import NO_LIMITS, Limits
from service.core import clock
from service.core.cache import LookupCache
from service.core.errors import NO_RETRY, ApiError, RateLimited, Unauthenticated
from service.core.invalidation import InvalidationKind, Invalidations
from service.core.networks import Network, is_in
from service.core.records import Stored
from service.web import browser_sessions
from service.web.client_address import ClientAddresses, FailureThrottle
from service.web.permissions import PERMISSIONS, Permission, Role, missing

CaptureManager: TypeAlias = Literal["organization", "project"]
"""Whose administrators may switch the capture of a project on. The project's may always end it."""


class Capture(Stored):
    """Settings of the capture of a project."""

    sampling: float
    """Share of the chats to store, from 0 to 1."""
    expires_after_days: int
    redaction: Literal["mask", "pseudonym"] = "mask"
    possible_personal_data: bool = False
    models: tuple[str, ...] | None = None
    """The only models, by name or alias, whose chats are stored; None for all."""


_MAX_KEY_CHARS = 512
_BEARER = "Bearer "


@dataclass(frozen=True)
class Principal:
    """An authenticated caller: one API key of one project."""

    key_id: str
    project_id: str
    project_name: str
    role: Role
    key_limits: Limits = NO_LIMITS
    project_limits: Limits = NO_LIMITS
    models: frozenset[str] | None = None
    """The only names that the key may request models by; None for all names of its project."""
    expires_at: int | None = None
    networks: tuple[Network, ...] | None = None
    """The addresses that requests may come from; None for all."""
    is_archived: bool = False
    """Whether the project is archived, so that its keys are not valid."""
    token_subject: str | None = None
    """The bearer of a token of an identity provider, which has no key; None for a key."""
    token_issued_at: int = 0
    session_expires_at: int | None = None
    """When the session of a browser ends, with which the caller was found; None without one."""
    capture: Capture | None = None
    """Which chats of the project are stored; None if none are."""
    service_account_id: str | None = None
    """The service account that has the key; None without one."""

    @property
    def identity(self) -> str:
        """Who calls, as far as is known: the ID of the service account, of the bearer of tokens of
        an identity provider, or of the key.
        """
        return self.service_account_id or self.key_id

    @cached_property
    def is_conditional(self) -> bool:
        """Whether the key is valid only for a time or for some addresses, or not at all."""
        return self.expires_at is not None or self.networks is not None or self.is_archived

    def may(self, permission: Permission) -> bool:
        """Return whether the key's role has a permission."""
        return permission in PERMISSIONS[self.role]

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless the key's role has the permission."""
        if not self.may(permission):
            raise missing(self.role, permission)

    @cached_property
    def may_request_models(self) -> bool:
        """Whether the key may send inference requests. Read in each of them."""
        return self.may(Permission.MODEL_REQUEST)

    def sees(self, model: str) -> bool:
        """Return whether models exist for the key under this name."""
        return self.models is None or model in self.models

    def covers(self, role: Role) -> bool:
        """Return whether the key has all rights of a role."""
        return PERMISSIONS[role] <= PERMISSIONS[self.role]


class FailureReason(StrEnum):
    """Why a request was not authenticated, or was refused."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    ARCHIVED = "archived"
    ADDRESS = "address"
    THROTTLED = "throttled"
    PERMISSION = "permission"
    CROSS_ORIGIN = "cross_origin"
    CSRF = "csrf"
    SIGN_IN = "sign_in"


class Failure(NamedTuple):
    """A request that was refused because of its key. `caller` is the key's owner, if known."""

    reason: FailureReason
    error: ApiError
    scope: Scope
    caller: Principal | None = None


async def _find_none(_: str) -> Principal | None:
    return None


async def _ignore(_: Failure) -> None:
    return


class Authenticator:
    """Resolves API keys to principals and caches known keys for a few seconds.

    `find` returns None for an unknown key, or raises Unauthenticated; `find_session` does the same
    for the secret in the cookie of a browser's session. `note_use` is called with the
    project ID and key ID of each authenticated request, and `note_failure` with each refusal.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[Principal | None]],
        *,
        cache_s: float,
        addresses: ClientAddresses | None = None,
        throttle: FailureThrottle | None = None,
        note_use: Callable[[str, str], object] = lambda project_id, key_id: None,
        note_failure: Callable[[Failure], Awaitable[None]] = _ignore,
        max_chars: int = _MAX_KEY_CHARS,
        find_session: Callable[[str], Awaitable[Principal | None]] = _find_none,
    ) -> None:
        self._max_chars = max_chars
        self._cache = LookupCache(find, ttl_s=cache_s)
        self._sessions = LookupCache(find_session, ttl_s=cache_s)
        self._addresses = addresses or ClientAddresses()
        self._throttle = throttle or FailureThrottle(0)
        self._note_use = note_use
        self._note_failure = note_failure

    def remembered(self, authorization: str) -> Principal | None:
        """Return the cached principal of a header, or None if `authenticate` has to decide.

        Cheaper than `authenticate`.
        """
        if not authorization.startswith(_BEARER):
            return None
        principal = self._cache.remembered(authorization[len(_BEARER) :])
        if principal is None or principal.is_conditional:
            return None
        self._note_use(principal.project_id, principal.key_id)
        return principal

    async def authenticate(self, authorization: str | None, scope: Scope) -> Principal:
        """Return the principal of an `Authorization: Bearer …` header of a request, or of its
        session cookie if it has no such header.

        Raises Unauthenticated if the key is missing, unknown, expired or not allowed to come from
        the client's address, Forbidden if the cookie may not be used for the request, and
        RateLimited if this happens too often to the address.
        """
        if not authorization and (session := browser_sessions.secret_of(scope)) is not None:
            return await self._authenticate_session(session, scope)
        scheme, _, secret = (authorization or "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            error = Unauthenticated(
                "No API key was sent. Put it in the header 'Authorization: Bearer <key>'."
            )
            await self._note_failure(Failure(FailureReason.MISSING, error, scope))
            raise error
        if len(secret) > self._max_chars:
            error = Unauthenticated("The API key is not known.")
            await self.refuse(Failure(FailureReason.UNKNOWN, error, scope))
        try:
            principal = await self._cache.get(secret)
        except Unauthenticated as e:
            await self.refuse(Failure(FailureReason.UNKNOWN, e, scope))
        if principal is None:
            error = Unauthenticated(
                "The API key is not known. It may have been revoked; ask for a new one."
            )
            await self.refuse(Failure(FailureReason.UNKNOWN, error, scope))
        if principal.is_conditional and (failure := self._unusable(principal, scope)):
            await self.refuse(failure)
        self._note_use(principal.project_id, principal.key_id)
        return principal

    async def _authenticate_session(self, secret: str, scope: Scope) -> Principal:
        if error := browser_sessions.origin_fault(scope):
            await self.refuse(Failure(FailureReason.CROSS_ORIGIN, error, scope))
        try:
            principal = await self._sessions.get(secret[: self._max_chars])
        except Unauthenticated as e:
            await self.refuse(Failure(FailureReason.UNKNOWN, e, scope))
        if principal is None or _has_ended(principal):
            ended = Unauthenticated(
                "The session has expired or was ended, or its API key was revoked. Sign in again.",
                code="session_expired",
            )
            await self.refuse(Failure(FailureReason.EXPIRED, ended, scope, principal))
        if principal.is_conditional and (failure := self._unusable(principal, scope)):
            await self.refuse(failure)
        if error := browser_sessions.csrf_fault(scope, secret):
            await self.refuse(Failure(FailureReason.CSRF, error, scope, principal))
        self._note_use(principal.project_id, principal.key_id)
        return principal

    async def require(self, caller: Principal, permission: Permission, scope: Scope) -> None:
        """Raise Forbidden unless the caller has the permission."""
        if not caller.may(permission):
            error = missing(caller.role, permission)
            await self._note_failure(Failure(FailureReason.PERMISSION, error, scope, caller))
            raise error

    def _unusable(self, principal: Principal, scope: Scope) -> Failure | None:
        """The reason why a known key is not valid for this request, or None."""
        if principal.is_archived:
            error = Unauthenticated(
                f"The project '{principal.project_name}' of the API key is archived. Use a key of "
                "another project.",
                code="project_archived",
            )
            return Failure(FailureReason.ARCHIVED, error, scope, principal)
        if principal.expires_at is not None and clock.now() >= principal.expires_at:
            expired = datetime.fromtimestamp(principal.expires_at, UTC)
            error = Unauthenticated(
                f"The API key expired at {expired:%Y-%m-%dT%H:%M:%SZ}, or its secret was replaced. "
                "Use the new secret, or ask for a new key.",
                code="api_key_expired",
            )
            return Failure(FailureReason.EXPIRED, error, scope, principal)
        if principal.networks is None:
            return None
        address = self._addresses.find(scope)
        if address is None or not is_in(address, principal.networks):
            error = Unauthenticated(
                f"The API key may not be used from the address {address or '(unknown)'}. If the "
                "request came through a reverse proxy, the operator must list the proxy in "
                "FINETUNED_TRUSTED_PROXIES.",
                code="ip_not_authorized",
            )
            return Failure(FailureReason.ADDRESS, error, scope, principal)
        return None

    async def refuse(self, failure: Failure) -> NoReturn:
        """Note a failure, and raise its error, or the error of too many failures."""
        wait_s = self._throttle.record_failure(self._addresses.find(failure.scope))
        if wait_s is not None:
            failure = failure._replace(reason=FailureReason.THROTTLED, error=_too_many(wait_s))
        await self._note_failure(failure)
        raise failure.error

    def forget_key(self, project_id: str, key_id: str) -> None:
        """Drop a revoked or changed key from this process's cache."""
        # The cache is keyed by secret, but keys are forgotten by ID. An occasional scan of all
        # entries is cheaper than hashing the secret in every request.
        for cache in (self._cache, self._sessions):
            cache.forget_where(
                lambda p: p is not None and p.project_id == project_id and p.key_id == key_id
            )

    def forget_project(self, project_id: str, _: str = "") -> None:
        """Drop all keys of a changed project from this process's cache."""
        for cache in (self._cache, self._sessions):
            cache.forget_where(lambda p: p is not None and p.project_id == project_id)

    def listen(self, invalidations: Invalidations) -> None:
        """Subscribe to invalidations from other processes."""
        invalidations.on(InvalidationKind.KEY, self.forget_key)
        invalidations.on(InvalidationKind.PROJECT, self.forget_project)
        invalidations.on_gap(self._cache.expire_all)
        invalidations.on_gap(self._sessions.expire_all)


def _has_ended(principal: Principal) -> bool:
    expires_at = principal.session_expires_at
    return expires_at is not None and clock.now() >= expires_at


def _too_many(wait_s: int) -> RateLimited:
    return RateLimited(
        "Too many requests with a wrong API key came from this address. Check the key before "
        "you try again.",
        headers={"retry-after": str(wait_s), **NO_RETRY},
    )
