"""Keys that operators make. Apart from `operator`, which imports what models need."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from service.cli.connections import changes_recorded, open_redis
from service.core import ids
from service.projects.records import (
    ApiKey,
    KeyRevoked,
    NameTaken,
    Project,
    Projects,
    Role,
    digest_of,
)
from service.web.audit_events import AuditEvent

# Format of an operator-supplied secret: long enough that its plain digest cannot be brute-forced.
_OWN_SECRET = re.compile(r"[!-~]{32,512}")


async def create_key(
    data_dir: Path | None,
    project_name: str,
    key_name: str,
    role: str,
    models: Sequence[str] | None = None,
    expires_in_days: int | None = None,
) -> str:
    """Create a key, and its project if it does not exist. Returns the secret.

    Raises ValueError for an unknown role, and for `models` with a role other than inference.
    """
    if models and role != Role.INFERENCE:
        raise ValueError("only keys with the role inference can be limited to models")
    async with _projects(data_dir) as projects:
        project = await _project(projects, project_name, role)
        with changes_recorded(AuditEvent.API_KEY_CREATED, project.id):
            _, secret = await projects.create_key(
                project,
                key_name,
                Role(role),
                models=tuple(models) if models else None,
                expires_at=expires_in_days and ids.now_s() + expires_in_days * 24 * 3600,
            )
        return secret


async def list_keys(
    data_dir: Path | None, project_name: str | None
) -> list[tuple[Project, ApiKey]]:
    """Return the keys of a project, or of all projects, oldest first.

    Raises ValueError if there is no such project.
    """
    async with _projects(data_dir) as projects:
        if project_name is None:
            kept = [await projects.get(project_id) for project_id in await projects.kept_ids()]
        elif (named := await projects.by_name(project_name)) is not None:
            kept = [named]
        else:
            raise ValueError(f"there is no project {project_name}")
        return [
            (project, key)
            for project in kept
            if project is not None
            for key in await projects.keys.get_many(project.id, await projects.keys.ids(project.id))
        ]


async def ensure_key(project_name: str, key_name: str, role: str, secret: str) -> str:
    """Create a key with a secret chosen by the operator, and return a message for the operator.

    An existing key is left unchanged, and a revoked key stays revoked. Raises ValueError if the
    secret does not have 32 to 512 visible ASCII characters.
    """
    if not _OWN_SECRET.fullmatch(secret):
        raise ValueError("the key must have 32 to 512 visible ASCII characters")
    async with _projects(None) as projects:
        if await projects.find_key(digest_of(secret)) is not None:
            return "the key already exists"
        project = await _project(projects, project_name, role)
        try:
            with changes_recorded(AuditEvent.API_KEY_CREATED, project.id):
                await projects.create_key(project, key_name, Role(role), secret=secret)
        except KeyRevoked:
            return (
                "the key was revoked and stays revoked: set another one in FINETUNED_NEW_KEY, or "
                "create one with 'finetuned-server keys create'"
            )
        return "the key was created"


async def _project(projects: Projects, name: str, role: str) -> Project:
    if role not in set(Role):
        raise ValueError(f"no such role: {role}; the roles are {', '.join(Role)}")
    try:
        with changes_recorded(AuditEvent.PROJECT_CREATED, ""):
            return await projects.by_name(name) or await projects.create(name)
    except NameTaken as e:
        raise ValueError(f"the project {name} was deleted, and names are never reused") from e


@asynccontextmanager
async def _projects(data_dir: Path | None) -> AsyncIterator[Projects]:
    async with open_redis(data_dir) as redis:
        yield Projects(redis)
