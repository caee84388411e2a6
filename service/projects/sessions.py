"""Records of the sessions of browsers in Redis.

    finetuned:session:{digest}    a session, by the digest of its secret; expires with it
    finetuned:sessions-of:{key}   digests of the sessions of a key, scored by when they expire

A session is only another way to present an API key or a token of the identity provider: each
request looks up the key again, so what ends or restricts the key does so for its sessions. Of a
key, a session has the digest. A token is encrypted under the session's secret, which only the
browser has.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from cryptography.fernet import Fernet
from redis.asyncio.client import Pipeline

from service.core import clock, ids, invalidation
from service.core.records import PREFIX, Stored, parse
from service.core.redis import Client, text
from service.core.redis.transactions import Write, commit, touch
from service.projects.oidc import is_token
from service.projects.records import Projects, digest_of
from service.web.auth import Principal

MAX_SESSIONS: Final = 100
"""Sessions of one key. The one that would expire first ends when there would be more."""


class Session(Stored):
    """A session of a browser."""

    id: str
    project_id: str
    key_id: str
    key_digest: str | None
    token: str | None
    """The token of the identity provider, encrypted; None for a key."""
    is_sign_in: bool = False
    """Whether the token is an ID token, which the provider issued for a sign-in."""
    created_at: int
    expires_at: int


class Sessions:
    """Store of the sessions of all projects.

    `find_bearer` returns the principal of a token, and `find_person` that of an ID token.
    """

    def __init__(
        self,
        redis: Client,
        projects: Projects,
        find_bearer: Callable[[str], Awaitable[Principal | None]],
        *,
        lifetime_s: int,
        find_person: Callable[[str], Awaitable[Principal | None]] | None = None,
    ) -> None:
        self._redis = redis
        self._projects = projects
        self._find_bearer = find_bearer
        self._lifetime_s = lifetime_s
        self._find_person = find_person

    async def begin(
        self, caller: Principal, credential: str, *, is_sign_in: bool = False
    ) -> tuple[Session, str]:
        """Begin a session of a caller who presented a key or a token. Returns it with its secret.

        It ends with the credential, if that expires earlier. `is_sign_in`: the credential is an ID
        token.
        """
        secret, now_s = secrets.token_urlsafe(32), clock.now_s()
        is_of_token = is_token(credential)
        until = (now_s + self._lifetime_s, caller.expires_at)
        session = Session(
            id=ids.new(ids.SESSION),
            project_id=caller.project_id,
            key_id=caller.key_id,
            key_digest=None if is_of_token else digest_of(credential),
            token=_cipher(secret).encrypt(credential.encode()).decode() if is_of_token else None,
            is_sign_in=is_sign_in,
            created_at=now_s,
            expires_at=min(at for at in until if at is not None),
        )
        digest, listed = digest_of(secret), _listed(caller.key_id)

        async def decide(pipe: Pipeline) -> tuple[None, Write]:
            alive = await pipe.zrangebyscore(listed, f"({now_s}", "+inf")
            surplus = max(0, len(alive) - MAX_SESSIONS + 1)
            return None, partial(write, [text(each) for each in alive[:surplus]])

        def write(ended: list[str], pipe: Pipeline) -> None:
            touch(session.id)
            pipe.zremrangebyscore(listed, "-inf", now_s)
            for each in ended:
                _remove(pipe, caller, each)
            pipe.set(_key(digest), session.model_dump_json(), exat=session.expires_at)
            pipe.zadd(listed, {digest: session.expires_at})
            pipe.expireat(listed, now_s + self._lifetime_s, gt=True)
            pipe.expireat(listed, now_s + self._lifetime_s, nx=True)

        await commit(self._redis, [listed], decide)
        return session, secret

    async def get(self, secret: str) -> Session | None:
        """Return the session with this secret, or None if there is none or it has expired."""
        digest = digest_of(secret)
        raw = await self._redis.get(_key(digest))
        return None if raw is None else parse(Session, raw, "session")

    async def end(self, secret: str, session: Session) -> None:
        """End a session in all processes."""

        async def decide(_: Pipeline) -> tuple[None, Write]:
            return None, write

        def write(pipe: Pipeline) -> None:
            touch(session.id)
            _remove(pipe, session, digest_of(secret))

        await commit(self._redis, [_key(digest_of(secret))], decide)

    async def find_principal(self, secret: str) -> Principal | None:
        """Return the caller whose session has this secret, or None.

        Raises Unauthenticated if its token is no longer valid.
        """
        session = await self.get(secret)
        if session is None:
            return None
        if session.key_digest is not None:
            found = await self._projects.principal_of(session.key_digest)
        else:
            token = _cipher(secret).decrypt((session.token or "").encode()).decode()
            find = self._find_person if session.is_sign_in else self._find_bearer
            found = None if find is None else await find(token)
        if found is None:
            return None
        return dataclasses.replace(found, session_expires_at=session.expires_at)


def _remove(pipe: Pipeline, of: Principal | Session, digest: str) -> None:
    """Add the end of a session to a transaction."""
    pipe.delete(_key(digest))
    pipe.zrem(_listed(of.key_id), digest)
    # Other processes forget its key, and with it the session.
    kind = invalidation.InvalidationKind.KEY
    invalidation.publish(pipe, kind, of.project_id, of.key_id)


def _key(digest: str) -> str:
    return f"{PREFIX}:session:{digest}"


def _listed(key_id: str) -> str:
    return f"{PREFIX}:sessions-of:{key_id}"


def _cipher(secret: str) -> Fernet:
    """Return what encrypts the token of a session: the secret has more bits than the key."""
    derived = hashlib.sha256(b"finetuned session token " + secret.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(derived))
