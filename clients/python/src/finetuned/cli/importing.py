"""The `finetuned import-model` command: bring an adapter that was trained elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from finetuned.cli import complete
from finetuned.cli.output import Json, Out
from finetuned.cli.sending import shown
from finetuned.cli.session import client


def import_model(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="Folder of a PEFT LoRA adapter, a tar or zip of it, or the id of an upload.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Base model of the adapter.", autocompletion=complete.bases
        ),
    ],
    suffix: Annotated[str | None, typer.Option(help="Suffix in the model's name.")] = None,
    as_json: Json = False,
) -> None:
    """Import a LoRA adapter that was trained elsewhere. It is then used like any trained model."""
    out = Out(as_json)
    with client() as server, shown(source, out) as show:
        done = server.models.import_model(source, base_model=model, suffix=suffix, on_progress=show)
    if out.json:
        out.value(done)
        return
    out.line(done.model)
    for finding in done.findings or []:
        out.say(f"{finding.severity}: {finding.message} {finding.fix}")
