"""Records of projects and API keys in Redis.

A key's secret is shown once and stored only as its SHA-256 digest. It has 190 bits of
entropy, so an unsalted digest cannot be reversed by guessing.

    finetuned:key-digests:{digest}              the IDs of the project and of its key
    finetuned:restricted-key-digests:{digest}   the same, for keys that may do less than a member

Versions up to 0.2 know only admins and members and read only the first of these, so they reject
keys whose restrictions they would not apply.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from functools import partial

from redis.asyncio.client import Pipeline

from service.config.limits import (
    NO_LIMITS,
    NO_PROJECT_LIMITS,
    Limits,
    ProjectLimits,
    StoredLimits,
    StoredProjectLimits,
    ceiling,
)
from service.core import clock, ids, invalidation
from service.core.cache import LookupCache
from service.core.networks import network
from service.core.records import PREFIX, Check, Collection, Missing, Record, Stored, parse
from service.core.redis import Client, reply, text
from service.core.redis.transactions import Write, commit
from service.core.storage import QuotaExceeded
from service.projects import key_uses
from service.web.auth import Capture, CaptureManager, Principal
from service.web.permissions import Role as Role  # noqa: PLC0414 - part of a key

# Project records are stored under the installation instead of a project.
INSTALLATION = "-"
SECRET_PREFIX = "sk-ft-"  # noqa: S105 - prefix shared by all keys
MAX_OLD_SECRETS = 10
NAME_PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
NAMES = f"{PREFIX}:project-names"
NAMES_GONE = f"{PREFIX}:project-names-gone"  # of deleted projects: names are never reused
DELETING = f"{PREFIX}:projects-deleting"
_REVOKED = f"{PREFIX}:key-digests-revoked"  # kept forever: a chosen secret may be sent again


class Project(Record):
    """A tenant. Its name is part of its model names, so it never changes."""

    name: str
    limits: StoredProjectLimits = NO_PROJECT_LIMITS
    archived_at: int | None = None
    """When its keys became invalid for good; also set if it is being deleted."""
    deleting_since: int | None = None
    capture: Capture | None = None
    """Settings for storing its chats; None if none are stored."""
    capture_managed_by: CaptureManager = "organization"
    four_eyes: bool = False
    """Whether aliases and exports need models that a second person approved."""


class OldSecret(Stored):
    """A secret that was replaced, and is valid for a while."""

    digest: str
    hint: str
    expires_at: int


class ApiKey(Record):
    """An API key without its secret."""

    name: str
    role: Role
    digest: str
    hint: str  # the secret's last four characters, to distinguish keys
    limits: StoredLimits = NO_LIMITS
    models: tuple[str, ...] | None = None
    """The only names that the key may request models by, with the role `inference`."""

    expires_at: int | None = None
    allowed_ips: tuple[str, ...] | None = None
    """Addresses and ranges that requests may come from; None for all."""
    old_secrets: tuple[OldSecret, ...] = ()
    service_account_id: str | None = None

    @property
    def is_restricted(self) -> bool:
        """Whether versions up to 0.2 must refuse the key."""
        is_known = self.role in (Role.ADMIN, Role.MEMBER)
        return not is_known or self.expires_at is not None or self.allowed_ips is not None

    def expiry_of(self, digest: str) -> int | None:
        """Return when one of the key's secrets expires; None if it never does."""
        times = [old.expires_at for old in self.old_secrets if old.digest == digest]
        return min((at for at in (*times, self.expires_at) if at is not None), default=None)

    def rotated(self, secret: str, *, now_s: int, overlap_s: int) -> ApiKey:
        """Return the key with another secret. Those before it are valid for at most `overlap_s`.

        Raises TooManySecrets.
        """
        until = now_s + overlap_s
        before = (
            *self.old_secrets,
            OldSecret(digest=self.digest, hint=self.hint, expires_at=until),
        )
        valid = tuple(
            old.model_copy(update={"expires_at": min(old.expires_at, until)})
            for old in before
            if min(old.expires_at, until) > now_s
        )
        if len(valid) > MAX_OLD_SECRETS:
            raise TooManySecrets
        change = {"digest": digest_of(secret), "hint": secret[-4:], "old_secrets": valid}
        return self.model_copy(update=change)


class ProjectArchived(ValueError):
    """The project is archived, so it cannot get new keys."""

    def __init__(self) -> None:
        super().__init__("the project is archived, so it cannot get new keys")


class NameTaken(Exception):
    """A project with this name exists or existed."""


class TooManySecrets(Exception):
    """Too many secrets of the key are still valid."""


class KeyRevoked(Exception):
    """A key with this secret existed and was revoked."""


def digest_of(secret: str) -> str:
    """The stored digest of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Projects:
    """Store of all projects and their keys."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.projects = Collection(redis, "projects", Project)
        self.keys = Collection(redis, "keys", ApiKey)

    async def create(self, name: str, limits: ProjectLimits = NO_PROJECT_LIMITS) -> Project:
        """Create a project. Raises ValueError for an invalid name, NameTaken for a used one."""
        if not NAME_PATTERN.fullmatch(name):
            raise ValueError(
                "a project name must have 1 to 40 lowercase letters, digits and inner hyphens"
            )
        project = Project(
            id=ids.new(ids.PROJECT),
            project_id=INSTALLATION,
            created_at=clock.now_s(),
            name=name,
            limits=limits,
        )
        return await self._claim(project, adopts=True)

    async def restore(self, project_id: str, name: str) -> Project:
        """Recreate a project whose record was lost, under its old ID. Raises NameTaken."""
        now_s = clock.now_s()
        return await self._claim(
            Project(id=project_id, project_id=INSTALLATION, created_at=now_s, name=name),
            adopts=False,
        )

    async def _claim(self, project: Project, *, adopts: bool) -> Project:
        """Create a project together with its name. Raises NameTaken.

        If the name belongs to an ID without a project, and `adopts` is set, the project gets this
        ID. Earlier versions wrote the name first and could end before they wrote the project.
        """

        async def decide(pipe: Pipeline) -> tuple[Project, Write]:
            if await reply(pipe.sismember(NAMES_GONE, project.name)):
                raise NameTaken(project.name)
            owner = await reply(pipe.hget(NAMES, project.name))
            new = project if owner is None else project.model_copy(update={"id": text(owner)})
            if new.id != project.id and not adopts:
                raise NameTaken(project.name)
            await pipe.watch(key := self.projects.key(INSTALLATION, new.id))
            if await pipe.exists(key):
                raise NameTaken(project.name)
            return new, partial(write, new)

        def write(new: Project, pipe: Pipeline) -> None:
            pipe.hset(NAMES, new.name, new.id)
            self.projects.add(pipe, new)

        return await commit(self.redis, [NAMES, NAMES_GONE], decide)

    async def get(self, project_id: str) -> Project | None:
        """The project with this ID, or None."""
        return await self.projects.get(INSTALLATION, project_id)

    async def kept_ids(self) -> list[str]:
        """Return the IDs of all projects that are not being deleted, oldest first."""
        deleting = {text(member) for member in await reply(self.redis.hkeys(DELETING))}
        return [i for i in await self.projects.ids(INSTALLATION) if i not in deleting]

    async def oldest(self, most: int) -> list[Project]:
        """Return the oldest projects, `most` at most."""
        return (await self.projects.page(INSTALLATION, limit=most, oldest_first=True)).items

    async def by_name(self, name: str) -> Project | None:
        """The project with this name, or None."""
        project_id = await reply(self.redis.hget(NAMES, name))
        return None if project_id is None else await self.get(text(project_id))

    async def limit(
        self, project_id: str, change: ProjectLimits, **more: Capture | None
    ) -> Project:
        """Update the limits given in `change`, effective on all replicas. Raises Missing.

        `capture=…` also switches the storage of chats on or off.
        """
        return await self.change(
            project_id,
            lambda project: project.model_copy(
                update={"limits": project.limits.changed(change), **more}
            ),
        )

    async def archive(self, project_id: str) -> Project:
        """Make all keys of a project invalid for good, on all replicas. Raises Missing."""
        return await self.change(project_id, _archived)

    async def begin_deletion(self, project_id: str) -> Project:
        """Archive a project, and have the reconciler delete all that it has. Raises Missing."""

        def deleting(project: Project) -> Project:
            since = project.deleting_since or clock.now_s()
            return _archived(project).model_copy(update={"deleting_since": since})

        return await self.change(
            project_id, deleting, lambda pipe: pipe.hsetnx(DELETING, project_id, "")
        )

    async def objects_left(self, project_id: str) -> int | None:
        """Return how many objects a project has that is being deleted; None if not counted yet."""
        left = await reply(self.redis.hget(DELETING, project_id))
        return int(left) if left else None

    async def change(
        self,
        project_id: str,
        change: Callable[[Project], Project],
        more: Callable[[Pipeline], object] = lambda _: None,
    ) -> Project:
        """Change a project atomically, effective on all replicas. `change` may raise to cancel.

        `more` adds writes to the transaction. Raises Missing.
        """

        def also(pipe: Pipeline, _: Project) -> None:
            more(pipe)
            kind = invalidation.InvalidationKind.PROJECT
            invalidation.publish(pipe, kind, project_id, project_id)

        return await self.projects.update(INSTALLATION, project_id, change, also=also)

    async def change_key(
        self, project_id: str, key_id: str, change: Callable[[ApiKey], ApiKey]
    ) -> ApiKey:
        """Change a key atomically, effective on all replicas. `change` may raise to cancel.

        Raises Missing.
        """

        def also(pipe: Pipeline, key: ApiKey) -> None:
            _add_pointers(pipe, key)
            invalidation.publish(pipe, invalidation.InvalidationKind.KEY, project_id, key_id)

        return await self.keys.update(project_id, key_id, change, also=also)

    async def create_key(
        self,
        project: Project,
        name: str,
        role: Role,
        limits: Limits = NO_LIMITS,
        secret: str | None = None,
        *,
        models: tuple[str, ...] | None = None,
        expires_at: int | None = None,
        allowed_ips: tuple[str, ...] | None = None,
        service_account_id: str | None = None,
        check: Check | None = None,
    ) -> tuple[ApiKey, str]:
        """Create a key and return it with its secret, which cannot be retrieved again.

        The secret is random unless given. `check` may raise to cancel. Raises KeyRevoked for the
        secret of a revoked key, and ProjectArchived.
        """
        if project.archived_at is not None:
            raise ProjectArchived
        if secret is None:
            secret = _new_secret()
        elif await reply(self.redis.sismember(_REVOKED, digest_of(secret))):
            raise KeyRevoked
        key = ApiKey(
            id=ids.new(ids.KEY),
            project_id=project.id,
            created_at=clock.now_s(),
            name=name,
            role=role,
            digest=digest_of(secret),
            hint=secret[-4:],
            limits=limits,
            models=models,
            expires_at=expires_at,
            allowed_ips=allowed_ips,
            service_account_id=service_account_id,
        )
        await self.keys.create(key, also=lambda pipe: _add_pointers(pipe, key), check=check)
        return key, secret

    async def rotate_key(
        self,
        project_id: str,
        key_id: str,
        *,
        overlap_s: int,
        check: Callable[[ApiKey], object] = lambda _: None,
    ) -> tuple[ApiKey, str]:
        """Give a key another secret, and return both. `check` may raise to cancel.

        The secrets before it stay valid for at most `overlap_s`. Raises Missing and TooManySecrets.
        """
        secret, at = _new_secret(), self.keys.key(project_id, key_id)

        async def decide(pipe: Pipeline) -> tuple[ApiKey, Write]:
            key = await self._checked(pipe, at, key_id, check)
            rotated = key.rotated(secret, now_s=clock.now_s(), overlap_s=overlap_s)
            return rotated, partial(write, key, rotated)

        def write(key: ApiKey, rotated: ApiKey, pipe: Pipeline) -> None:
            self.keys.write(pipe, rotated)
            _remove_pointers(pipe, key)
            _add_pointers(pipe, rotated)
            pipe.sadd(_REVOKED, key.digest)  # no other key can get the secret
            invalidation.publish(pipe, invalidation.InvalidationKind.KEY, project_id, key_id)

        return await commit(self.redis, [at], decide), secret

    async def revoke_key(
        self, project_id: str, key_id: str, check: Callable[[ApiKey], object] = lambda _: None
    ) -> None:
        """Revoke a key permanently. `check` may raise to cancel.

        Raises Missing if the project has no key with this ID.
        """
        at = self.keys.key(project_id, key_id)

        async def decide(pipe: Pipeline) -> tuple[None, Write]:
            return None, partial(write, await self._checked(pipe, at, key_id, check))

        def write(key: ApiKey, pipe: Pipeline) -> None:
            self.keys.remove(pipe, project_id, key_id)
            _remove_pointers(pipe, key)
            pipe.sadd(_REVOKED, key.digest)
            key_uses.forget(pipe, project_id, key_id)
            invalidation.publish(pipe, invalidation.InvalidationKind.KEY, project_id, key_id)

        await commit(self.redis, [at], decide)

    async def _checked(
        self, pipe: Pipeline, at: str, key_id: str, check: Callable[[ApiKey], object]
    ) -> ApiKey:
        """Read a key in a transaction that changes it. Raises Missing, and what `check` raises."""
        raw = await pipe.get(at)
        if raw is None:
            raise Missing(key_id)
        key = parse(ApiKey, raw, key_id)
        check(key)
        return key

    async def admin_keys(self) -> list[ApiKey]:
        """Return the keys of all projects with the role `admin`, oldest first."""
        found: list[ApiKey] = []
        for project_id in await self.kept_ids():
            every = await self.keys.get_many(project_id, await self.keys.ids(project_id))
            found += [key for key in every if key.role is Role.ADMIN]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def find_key(self, digest: str) -> tuple[ApiKey, Project] | None:
        """The key with this digest and its project, or None."""
        pointers = await self.redis.mget(_pointers(digest))
        found = next(filter(None, pointers), None)
        if found is None:
            return None
        project_id, key_id = found.decode().split(" ")
        key = await self.keys.get(project_id, key_id)
        project = await self.get(project_id)
        return (key, project) if key and project else None

    async def find_principal(self, secret: str) -> Principal | None:
        """Return the owner of an API key, or None if the key is unknown."""
        return await self.principal_of(digest_of(secret))

    async def principal_of(self, digest: str) -> Principal | None:
        """Return the owner of the API key with this digest, or None if the key is unknown."""
        found = await self.find_key(digest)
        if found is None:
            return None
        key, project = found
        return Principal(
            key_id=key.id,
            project_id=project.id,
            project_name=project.name,
            role=key.role,
            models=None if key.models is None else frozenset(key.models),
            service_account_id=key.service_account_id,
            expires_at=key.expiry_of(digest),
            networks=None if key.allowed_ips is None else tuple(map(network, key.allowed_ips)),
            key_limits=key.limits,
            project_limits=project.limits,
            capture=project.capture,
            is_archived=project.archived_at is not None,
        )


def _archived(project: Project) -> Project:
    return project.model_copy(update={"archived_at": project.archived_at or clock.now_s()})


def _pointers(digest: str) -> tuple[str, str]:
    """The Redis keys that lead from a digest to a key: unrestricted, and restricted."""
    return f"{PREFIX}:key-digests:{digest}", f"{PREFIX}:restricted-key-digests:{digest}"


def _add_pointers(pipe: Pipeline, key: ApiKey) -> None:
    """Add the pointers from a key's digests to a transaction, each under the right name only."""
    _set_pointer(pipe, key, key.digest, is_restricted=key.is_restricted)
    for old in key.old_secrets:  # versions up to 0.2 do not know that they expire
        _set_pointer(pipe, key, old.digest, is_restricted=True)


def _set_pointer(pipe: Pipeline, key: ApiKey, digest: str, *, is_restricted: bool) -> None:
    place, other = _pointers(digest)
    if is_restricted:
        place, other = other, place
    pipe.set(place, f"{key.project_id} {key.id}")
    pipe.delete(other)


def _remove_pointers(pipe: Pipeline, key: ApiKey) -> None:
    """Add the removal of all pointers to a key to a transaction."""
    for digest in (key.digest, *(old.digest for old in key.old_secrets)):
        pipe.delete(*_pointers(digest))


def _new_secret() -> str:
    return SECRET_PREFIX + secrets.token_urlsafe(32)


class Quotas:
    """Quotas of projects. Changes take effect in all processes within `cache_s`."""

    def __init__(self, projects: Projects, default: ProjectLimits, *, cache_s: float) -> None:
        self._projects = LookupCache(projects.get, ttl_s=cache_s)
        self._default = default

    async def storage(self, project_id: str) -> int | None:
        """Return the quota of a project in storage; None if it has none.

        Raises QuotaExceeded for a project that is being deleted or was.
        """
        project = await self._projects.get(project_id)
        if project is None or project.deleting_since is not None:
            raise QuotaExceeded(f"The project {project_id} was deleted: it cannot store anything.")
        return ceiling(project.limits.or_default(self._default).storage_bytes)

    async def records(self, project_id: str) -> int | str | None:
        """Return the quota of a project in Redis, `unlimited`, or None for the default."""
        project = await self._projects.get(project_id)
        limits = self._default if project is None else project.limits.or_default(self._default)
        return limits.record_bytes
