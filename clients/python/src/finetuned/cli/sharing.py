"""The `finetuned models` commands that share a model with other projects, with OpenAI's SDK."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from finetuned.cli import complete
from finetuned.cli.failures import openai_errors
from finetuned.cli.listing import After, Limit, all_pages, listed
from finetuned.cli.output import Json, Out, Wide, when
from finetuned.cli.session import client
from finetuned.errors import NotFound

if TYPE_CHECKING:
    from openai.types.fine_tuning.checkpoints import PermissionListResponse

Model = Annotated[
    str, typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False)
]


def share(
    model: Model,
    project_ids: Annotated[list[str], typer.Argument(metavar="PROJECT_ID...", show_default=False)],
    as_json: Json = False,
) -> None:
    """Let other projects send requests to a trained model of yours. Requires the role project_admin
    or admin in the project that has the model."""
    out = Out(as_json)
    with client() as server, openai_errors():
        permissions = server.openai.fine_tuning.checkpoints.permissions
        made = list(permissions.create(model, project_ids=project_ids))
    if out.json:
        out.value(made)
        return
    for permission in made:
        out.line(permission.project_id)


def shared_with(
    model: Model,
    limit: Limit = None,
    after: After = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the other projects that may use a trained model. Requires the role project_admin, admin
    or auditor."""
    out = Out(as_json)
    with client() as server, openai_errors():
        permissions = server.openai.fine_tuning.checkpoints.permissions
        pages = partial(all_pages, permissions.list, model)
        found: list[PermissionListResponse] = listed(pages, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    out.table(
        ["project", "permission", "since"],
        [(one.project_id, one.id, when(one.created_at)) for one in found],
        empty="no other project may use it",
        wide=wide,
    )


def unshare(
    model: Model,
    project_id: Annotated[str, typer.Argument(metavar="PROJECT_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Stop sharing a model with a project, whose requests then get 404 within seconds."""
    out = Out(as_json)
    with client() as server, openai_errors():
        permissions = server.openai.fine_tuning.checkpoints.permissions
        found = next(iter(permissions.list(model, project_id=project_id)), None)
        if found is None:
            raise NotFound(
                f"{model} is not shared with {project_id}.",
                next_step=f"`finetuned models shared-with {model}` lists the projects.",
            )
        gone = permissions.delete(found.id, fine_tuned_model_checkpoint=model)
    if out.json:
        out.value(gone)
    else:
        out.line(project_id)
