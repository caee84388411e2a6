"""The `finetuned leave-openai retrain` command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from finetuned_cli import complete
from finetuned_cli.failures import JobEnded
from finetuned_cli.output import Json, Out
from finetuned_cli.session import client
from finetuned_cli.tables import Column

from finetuned_migrate.cli.options import Folder, Only, chosen

if TYPE_CHECKING:
    from finetuned_migrate.openai import Retrained


def retrain(
    folder: Folder,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Base model.", autocompletion=complete.bases)
    ],
    only: Only = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for the jobs and set the aliases.", show_default=True)
    ] = True,
    alias: Annotated[
        bool, typer.Option(help="Make the old names aliases of the new models.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train the old models again, and make their names aliases of the new models.

    A repeated command continues: it creates no file, job or alias twice. A name that is an alias
    already stays where it is: `report --move` moves it.
    """
    from finetuned_migrate.openai import Retraining, Source

    out = Out(as_json)
    source = Source.open(folder)
    with client() as server:
        retraining = Retraining(server, source, model, say=lambda text: out.say(text, "dim"))
        found = retraining.run(chosen(only), wait=wait, alias=alias)
    if out.json:
        out.value(found)
    else:
        out.table(
            [
                *(Column("model", cut="middle"), "status", "new model"),
                *(Column("job", 5), Column("alias", 4), Column("reason", 3, cut="end")),
            ],
            [
                [one.model, one.status, one.new_model, one.job, one.alias, one.reason]
                for one in found
            ],
        )
    _require_all(found)


def _require_all(found: Sequence[Retrained]) -> None:
    """Raise JobEnded if a model was not trained, or its name refused."""
    failed = [
        one.model
        for one in found
        if one.status in ("refused", "failed", "cancelled") or one.alias == "refused"
    ]
    if failed:
        raise JobEnded(
            f"{len(failed)} of {len(found)} models have no successor with their name: "
            f"{', '.join(failed[:3])}.",
            code="not_retrained",
            next_step="See the reasons above. Use --only to leave a model out.",
        )
