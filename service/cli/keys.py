"""`finetuned-server keys`: API keys of any role."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Annotated

import typer

from service.cli.common import App, DataDir, Json, fail, time_text

app = App(help="API keys.")

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
    from service.cli.key_tasks import create_key

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
    from service.cli.key_tasks import list_keys

    try:
        found = asyncio.run(list_keys(data_dir, project))
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
    from service.cli.key_tasks import ensure_key

    secret = os.environ.get("FINETUNED_NEW_KEY", "")
    try:
        typer.echo(asyncio.run(ensure_key(project, name, role, secret)))
    except (ValueError, OSError) as e:
        fail(e)
