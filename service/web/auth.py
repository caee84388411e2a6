"""Authentication: from the Authorization header to a principal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from service.core.cache import LookupCache
from service.core.errors import Unauthenticated
from service.core.invalidation import InvalidationKind, Invalidations
from service.core.limits import NO_LIMITS, Limits
from service.web.permissions import PERMISSIONS, Permission, Role, missing

_MAX_HEADER_CHARS = 512
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


class Authenticator:
    """Resolves API keys to principals and caches known keys for a few seconds."""

    def __init__(
        self, find: Callable[[str], Awaitable[Principal | None]], *, cache_s: float
    ) -> None:
        self._cache = LookupCache(find, ttl_s=cache_s)

    def remembered(self, authorization: str) -> Principal | None:
        """Return the cached principal of a header, or None if `authenticate` has to look it up.

        Cheaper than `authenticate`.
        """
        if not authorization.startswith(_BEARER):
            return None
        return self._cache.remembered(authorization[len(_BEARER) :])

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return the principal of an `Authorization: Bearer …` header.

        Raises Unauthenticated if the key is missing or unknown.
        """
        scheme, _, secret = (authorization or "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated(
                "No API key was sent. Put it in the header 'Authorization: Bearer <key>'."
            )
        if len(secret) > _MAX_HEADER_CHARS:
            raise Unauthenticated("The API key is not known.")
        principal = await self._cache.get(secret)
        if principal is None:
            raise Unauthenticated(
                "The API key is not known. It may have been revoked; ask for a new one."
            )
        return principal

    def forget_key(self, project_id: str, key_id: str) -> None:
        """Drop a revoked or changed key from this process's cache."""
        # The cache is keyed by secret, but keys are forgotten by ID. An occasional scan of all
        # entries is cheaper than hashing the secret in every request.
        self._cache.forget_where(
            lambda p: p is not None and p.project_id == project_id and p.key_id == key_id
        )

    def forget_project(self, project_id: str, _: str = "") -> None:
        """Drop all keys of a changed project from this process's cache."""
        self._cache.forget_where(lambda p: p is not None and p.project_id == project_id)

    def listen(self, invalidations: Invalidations) -> None:
        """Subscribe to invalidations from other processes."""
        invalidations.on(InvalidationKind.KEY, self.forget_key)
        invalidations.on(InvalidationKind.PROJECT, self.forget_project)
        invalidations.on_gap(self._cache.expire_all)
