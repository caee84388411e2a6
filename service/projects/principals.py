"""Who makes a request: the owner of an API key, or the bearer of a token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from service.core.networks import network
from service.projects.records import Projects, digest_of
from service.projects.tokens import Tokens, is_token
from service.web.auth import Principal


def find_principal(
    projects: Projects, tokens: Tokens | None = None
) -> Callable[[str], Awaitable[Principal | None]]:
    """A function that looks up the owner of a secret, or the bearer of a token."""

    async def find(secret: str) -> Principal | None:
        if tokens is not None and is_token(secret):
            return await tokens.principal(secret)
        digest = digest_of(secret)
        found = await projects.find_key(digest)
        if found is None:
            return None
        key, project = found
        return Principal(
            key_id=key.id,
            project_id=project.id,
            project_name=project.name,
            role=key.role,
            models=None if key.models is None else frozenset(key.models),
            expires_at=key.expiry_of(digest),
            networks=None if key.allowed_ips is None else tuple(map(network, key.allowed_ips)),
            key_limits=key.limits,
            project_limits=project.limits,
            capture=project.capture,
            is_archived=project.archived_at is not None,
        )

    return find
