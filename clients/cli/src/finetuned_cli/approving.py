"""The `finetuned models` commands that approve a model as a second person."""

from __future__ import annotations

from typing import Annotated

import typer
from finetuned.types import Approval

from finetuned_cli import complete
from finetuned_cli.nouns import say, show
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, Wide, when
from finetuned_cli.session import client
from finetuned_cli.tables import Column

Model = Annotated[
    str, typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False)
]


def add_to(app: App) -> None:
    """Add the commands to a group."""
    app.command("approve")(approve)
    app.command("approvals")(list_approvals)
    app.command("revoke-approval")(revoke)


def approve(
    model: Model,
    note: Annotated[str | None, typer.Option(help="What you checked, and how.")] = None,
    as_json: Json = False,
) -> None:
    """Approve a model that someone else trained, for aliases and exports of projects that require
    a second person."""
    with client() as server:
        made = server.models.approvals.create(model, note=note)
    show(made, _facts, Out(as_json))


def list_approvals(model: Model, wide: Wide = False, as_json: Json = False) -> None:
    """List the approvals of a trained model, oldest first."""
    out = Out(as_json)
    with client() as server:
        found = list(server.models.approvals.list(model))
    if out.json:
        out.value(found)
        return
    out.table(
        ["approval", Column("by", 1), Column("at", 2), Column("note", 3)],
        [(one.id, one.approved_by, when(one.created_at), one.note) for one in found],
        empty="nobody has approved it",
        wide=wide,
    )


def revoke(
    model: Model,
    approval_id: Annotated[str, typer.Argument(metavar="APPROVAL_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Revoke an approval. Aliases that point at the model keep doing so."""
    with client() as server:
        gone = server.models.approvals.delete(model, approval_id)
    say(gone, approval_id, Out(as_json))


def _facts(made: Approval) -> list[tuple[str, object]]:
    return [
        ("approval", made.id),
        ("by", made.approved_by),
        ("at", when(made.created_at)),
        ("note", made.note),
        ("digest", made.digest),
    ]
