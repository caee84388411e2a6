"""The `finetuned recognizers` commands: kinds of personal data that the project defines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetuned.cli.listing import After, Limit, listed
from finetuned.cli.options import App
from finetuned.cli.output import Json, Out, Wide, when
from finetuned.cli.session import client
from finetuned.cli.tables import Column

app = App(
    help="Personal data that only your project has, such as customer numbers.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


@app.command("list")
def list_recognizers(
    limit: Limit = None, after: After = None, wide: Wide = False, as_json: Json = False
) -> None:
    """List the project's recognizers, newest first."""
    out = Out(as_json)
    with client() as server:
        found = listed(server.recognizers.list, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    out.table(
        ["name", Column("pattern", 1, cut="end"), "terms", "created"],
        [(r.id, r.pattern or "", f"{len(r.terms):,}", when(r.created_at)) for r in found],
        empty="no recognizers yet: `finetuned recognizers set NAME --pattern REGEX`",
        wide=wide,
    )


@app.command("set")
def set_recognizer(
    name: Name,
    pattern: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Regular expression in RE2 syntax.")
    ] = None,
    terms: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with one word or phrase per line.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Define a kind of personal data, or replace its definition."""
    out = Out(as_json)
    words = None if terms is None else terms.read_text("utf-8").splitlines()
    found = None if words is None else [word for word in words if word.strip()]
    with client() as server:
        made = server.recognizers.set(name, pattern=pattern, terms=found)
    if out.json:
        out.value(made)
    else:
        out.line(made.id)


@app.command()
def delete(name: Name, as_json: Json = False) -> None:
    """Delete a recognizer. Files that were cleaned with it remain as they are."""
    out = Out(as_json)
    with client() as server:
        gone = server.recognizers.delete(name)
    if out.json:
        out.value(gone)
    else:
        out.line(gone.id)
