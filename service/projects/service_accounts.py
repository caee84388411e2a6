"""Service accounts: programs that own keys of a project, as in OpenAI's Admin API."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from functools import partial

from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.records import Collection, Missing, Record
from service.projects.records import ApiKey, Project, ProjectArchived, Projects, Role


class AccountRole(StrEnum):
    """Role of a service account, which determines the role of its keys."""

    OWNER = "owner"
    MEMBER = "member"
    NONE = "none"

    @property
    def of_keys(self) -> Role | None:
        """The role of the account's keys; None if it can have no keys."""
        return _OF_KEYS.get(self)


_OF_KEYS = {AccountRole.OWNER: Role.PROJECT_ADMIN, AccountRole.MEMBER: Role.MEMBER}


class ServiceAccount(Record):
    """A program that owns keys."""

    name: str
    role: AccountRole


class ServiceAccounts:
    """Store of the service accounts of all projects."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self.records = Collection(projects.redis, "service-accounts", ServiceAccount)

    async def create(self, project: Project, name: str, role: AccountRole) -> ServiceAccount:
        """Create an account. Raises ProjectArchived."""
        if project.archived_at is not None:
            raise ProjectArchived
        account = ServiceAccount(
            id=ids.new(ids.SERVICE_ACCOUNT),
            project_id=project.id,
            created_at=clock.now_s(),
            name=name,
            role=role,
        )
        return await self.records.create(account)

    async def create_key(
        self, project: Project, account: ServiceAccount, name: str, expires_at: int | None
    ) -> tuple[ApiKey, str]:
        """Create a key of an account that has a role. Raises Missing and ProjectArchived."""
        place = self.records.key(project.id, account.id)

        async def must_exist(pipe: Pipeline) -> None:
            await pipe.watch(place)
            if not await pipe.exists(place):
                raise Missing(account.id)

        return await self._projects.create_key(
            project,
            name,
            account.role.of_keys or Role.INFERENCE,
            expires_at=expires_at,
            service_account_id=account.id,
            check=must_exist,
        )

    async def update(
        self, account: ServiceAccount, name: str | None, role: AccountRole | None
    ) -> ServiceAccount:
        """Change an account, and the role of its keys. Raises Missing."""
        change = {"name": name or account.name, "role": role or account.role}
        changed = await self.records.update(
            account.project_id, account.id, lambda found: found.model_copy(update=change)
        )
        if role is not None and (of_keys := role.of_keys) is not None:
            for key in await self.keys_of(account):
                with contextlib.suppress(Missing):
                    await self._projects.change_key(
                        key.project_id, key.id, partial(_with_role, of_keys)
                    )
        return changed

    async def delete(self, account: ServiceAccount) -> None:
        """Revoke an account's keys and delete it. An interrupted call can be repeated.

        Raises Missing if the account is gone.
        """
        await self._revoke_keys(account)
        if not await self.records.delete(account.project_id, account.id):
            raise Missing(account.id)
        await self._revoke_keys(account)  # keys that were created in between

    async def keys_of(self, account: ServiceAccount) -> list[ApiKey]:
        """Return the keys of an account."""
        keys = self._projects.keys
        wanted = await self.key_ids(account.project_id, account.id)
        return await keys.get_many(account.project_id, sorted(wanted))

    async def key_ids(self, project_id: str, account_id: str) -> frozenset[str]:
        """Return the IDs of the keys of the account with this ID; none if there is no such one."""
        keys = self._projects.keys
        every = await keys.get_many(project_id, await keys.ids(project_id))
        return frozenset(key.id for key in every if key.service_account_id == account_id)

    async def _revoke_keys(self, account: ServiceAccount) -> None:
        for key in await self.keys_of(account):
            with contextlib.suppress(Missing):
                await self._projects.revoke_key(key.project_id, key.id)


def _with_role(role: Role, key: ApiKey) -> ApiKey:
    return key.model_copy(update={"role": role, "models": None})
