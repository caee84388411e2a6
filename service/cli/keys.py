"""`finetuned-server keys`: API keys of any role."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from service.cli.common import App, DataDir, Json, fail, time_text
from service.cli.connections import open_redis, record_changes
from service.core import clock
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

app = App(help="API keys.")
# Format of an operator-supplied secret: long enough that its plain digest cannot be brute-forced.
_OWN_SECRET: Final = re.compile(r"[!-~]{32,512}")

_ROLES = "Role: admin, project_admin, member, trainer, inference, reader or auditor."
KeyModels = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="The only model that a key with the role inference may use: the name of a base model, "
        "a trained model or an alias. Repeat it for several.",
    ),
]


@app.command("create")
def create(
    project: Annotated[
        str, typer.Option(help="Name of the project. Created if it does not exist.")
    ],
    name: Annotated[str, typer.Option(help="Name that describes what the key is for.")] = "key",
    role: Annotated[str, typer.Option(help=_ROLES)] = "member",
    model: KeyModels = None,
    expires_in_days: Annotated[
        int | None, typer.Option(help="Days until the key expires.", min=1, max=3660)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create an API key and print it. It cannot be shown again."""
    try:
        typer.echo(asyncio.run(create_key(data_dir, project, name, role, model, expires_in_days)))
    except (ValueError, OSError) as e:
        fail(e)


@app.command("list")
def list_keys(
    project: Annotated[
        str | None, typer.Option(help="Name of the project. Defaults to all projects.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List API keys without their secrets, oldest first: id, project, role, end, dates, name."""
    try:
        found = asyncio.run(_read_keys(data_dir, project))
    except (ValueError, OSError) as e:
        fail(str(e))
    rows = [
        {
            "id": key.id,
            "project": owner.name,
            "role": key.role.value,
            "secret_ends_with": key.hint,
            "created": time_text(key.created_at),
            "expires": None if key.expires_at is None else time_text(key.expires_at),
            "name": key.name,
        }
        for owner, key in found
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo("\t".join("never" if cell is None else cell for cell in row.values()))


@app.command("ensure")
def ensure(
    project: Annotated[
        str, typer.Option(help="Name of the project. Created if it does not exist.")
    ],
    name: Annotated[str, typer.Option(help="Name that describes what the key is for.")] = "key",
    role: Annotated[str, typer.Option(help=_ROLES)] = "member",
) -> None:
    """Register the key in $FINETUNED_NEW_KEY, unless it exists or was revoked. For installers."""
    secret = os.environ.get("FINETUNED_NEW_KEY", "")
    try:
        typer.echo(asyncio.run(ensure_key(project, name, role, secret)))
    except (ValueError, OSError) as e:
        fail(e)


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
        with record_changes(AuditEvent.API_KEY_CREATED, project.id):
            _, secret = await projects.create_key(
                project,
                key_name,
                Role(role),
                models=tuple(models) if models else None,
                expires_at=expires_in_days and clock.now_s() + expires_in_days * 24 * 3600,
            )
        return secret


async def _read_keys(
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
            with record_changes(AuditEvent.API_KEY_CREATED, project.id):
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
        with record_changes(AuditEvent.PROJECT_CREATED, ""):
            return await projects.by_name(name) or await projects.create(name)
    except NameTaken as e:
        raise ValueError(f"the project {name} was deleted, and names are never reused") from e


@asynccontextmanager
async def _projects(data_dir: Path | None) -> AsyncIterator[Projects]:
    async with open_redis(data_dir) as redis:
        yield Projects(redis)
