"""The `finetuned models` commands that share a model with other projects."""

from __future__ import annotations

from typing import Annotated

import typer
from finetuned.errors import NotFound

from finetuned_cli import complete
from finetuned_cli.nouns import Noun, Table, say
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, when
from finetuned_cli.session import client

Model = Annotated[
    str, typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False)
]


def add_to(app: App) -> None:
    """Add the commands to a group."""
    app.command("share")(share)
    Noun(app, "fine_tuning.checkpoints.permissions", "MODEL", complete=complete.models).list(
        "List the other projects that may use a trained model. Requires the role project_admin, "
        "admin or auditor.",
        Table(
            ["project", "permission", "since"],
            lambda one: (one.project_id, one.id, when(one.created_at)),
            "no other project may use it",
        ),
        name="shared-with",
        within=True,
    )
    app.command("unshare")(unshare)


def share(
    model: Model,
    project_ids: Annotated[list[str], typer.Argument(metavar="PROJECT_ID...", show_default=False)],
    as_json: Json = False,
) -> None:
    """Let other projects send requests to a trained model of yours. Requires the role project_admin
    or admin in the project that has the model."""
    with client() as server:
        permissions = server.fine_tuning.checkpoints.permissions
        made = list(permissions.create(model, project_ids=project_ids))
    say(made, "\n".join(one.project_id for one in made), Out(as_json))


def unshare(
    model: Model,
    project_id: Annotated[str, typer.Argument(metavar="PROJECT_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Stop sharing a model with a project, whose requests then get 404 within seconds."""
    with client() as server:
        permissions = server.fine_tuning.checkpoints.permissions
        found = next(iter(permissions.list(model, project_id=project_id)), None)
        if found is None:
            raise NotFound(
                f"{model} is not shared with {project_id}.",
                next_step=f"`finetuned models shared-with {model}` lists the projects.",
            )
        gone = permissions.delete(model, found.id)
    say(gone, project_id, Out(as_json))
