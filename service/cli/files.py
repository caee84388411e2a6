"""`finetuned-server files`: checks of data files without a service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from service.cli.common import App, fail

app = App(help="Data files.")


@app.command("check")
def check(
    path: Annotated[
        Path, typer.Argument(help="A data file on this machine.", exists=True, dir_okay=False)
    ],
    options: Annotated[
        str, typer.Option(help='Format options as JSON, such as \'{"sheet": "Data"}\'.')
    ] = "{}",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a training file as an upload is checked. Needs no running service.

    Exits with 5 if no job can be trained on it.
    """
    from pydantic import ValidationError

    from service.cli.check_file import check_file, in_words
    from service.files.schemas import FormatFields

    try:
        given = FormatFields.model_validate_json(options)
    except ValidationError as e:
        fail(f"--options: {e.errors()[0]['msg']}", 2)
    found = asyncio.run(check_file(path, given.stored()))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        for line in in_words(found):
            typer.echo(line)
    if not found["ok"]:
        raise typer.Exit(5)
