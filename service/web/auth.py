"""Who is asking: from the Authorization header to a principal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.core.cache import LookupCache
from service.core.errors import Forbidden, Unauthenticated
from service.core.invalidation import Invalidations, Kind
from service.core.limits import NO_LIMITS, Limits

_MAX_HEADER_CHARS = 512
_BEARER = "Bearer "


@dataclass(frozen=True)
class Principal:
    """A caller: one key of one project."""

    key_id: str
    project_id: str
    project_name: str
    role: str
    key_limits: Limits = NO_LIMITS
    project_limits: Limits = NO_LIMITS

    @property
    def is_admin(self) -> bool:
        """Whether the key may see and manage all projects."""
        return self.role == "admin"

    def require_admin(self) -> None:
        """Raise Forbidden for all but admin keys."""
        if not self.is_admin:
            raise Forbidden("This needs an admin key. Ask the operator of this service for one.")


class Authenticator:
    """Turns a bearer key into a principal; known keys are remembered for seconds."""

    def __init__(
        self, find: Callable[[str], Awaitable[Principal | None]], *, cache_s: float
    ) -> None:
        self._cache = LookupCache(find, ttl_s=cache_s)

    def remembered(self, authorization: str) -> Principal | None:
        """What `authenticate` gives, where that is known at once; it is cheaper to ask."""
        if not authorization.startswith(_BEARER):
            return None
        return self._cache.remembered(authorization[len(_BEARER) :])

    async def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an `Authorization: Bearer …` header; raises Unauthenticated."""
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
        """Ask anew about a key, in this process: it was revoked or changed."""
        # Asked by secret, forgotten by id: a look at every entry once in a while is cheaper
        # than a digest in every request.
        self._cache.forget_where(
            lambda p: p is not None and p.project_id == project_id and p.key_id == key_id
        )

    def forget_project(self, project_id: str, _: str = "") -> None:
        """Ask anew about all keys of a project, in this process: it was changed."""
        self._cache.forget_where(lambda p: p is not None and p.project_id == project_id)

    def listen(self, invalidations: Invalidations) -> None:
        """Follow the changes of other processes."""
        invalidations.on(Kind.KEY, self.forget_key)
        invalidations.on(Kind.PROJECT, self.forget_project)
        invalidations.on_gap(self._cache.expire_all)
