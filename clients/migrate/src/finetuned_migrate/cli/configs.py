"""The `finetuned import-config` command: another trainer's configuration as a job request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from finetuned_cli.output import Json, Out

if TYPE_CHECKING:
    from finetuned_migrate.configs import Place


def import_config(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="YAML of LLaMA-Factory, Axolotl or Unsloth.",
            show_default=False,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Print the job request that another trainer's configuration corresponds to, as JSON.

    Where each field went, or why it is ignored, is printed to stderr. With --json, all of it is one
    JSON object.
    """
    from finetuned_migrate.configs import read_config

    out = Out(as_json)
    found = read_config(file)
    if out.json:
        out.value(found)
        return
    out.value(found.request)
    out.say(f"{found.kind}:")
    for place in found.fields:
        out.say(f"  {_line(place)}", "dim" if place.to is None else None)
    for task in found.to_do:
        out.say(task)


def _line(place: Place) -> str:
    if place.to is None:
        return f"{place.field} is ignored: {place.note}"
    return f"{place.field} → {place.to}" + (f" ({place.note})" if place.note else "")
