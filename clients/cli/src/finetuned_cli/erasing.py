"""The `finetuned erasures` commands: rows found by their text in all files, and removed."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer
from finetuned.types import Erasure, ErasureFile, ErasureResult

from finetuned_cli.failures import ErasureEnded
from finetuned_cli.nouns import Noun, Table
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, when
from finetuned_cli.session import client, confirm
from finetuned_cli.tables import Column

app = App(help="Rows found by their text in all files, and removed.", no_args_is_help=True)
_erasures = Noun(app, "organization.erasures", "ERASURE_ID")
_SHOWN_LINES = 10


@app.command()
def create(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT",
            help="What the rows say, or - to read it from stdin, which leaves it out of the "
            "shell's history.",
            show_default=False,
        ),
    ],
    by: Annotated[
        Literal["text", "substring", "row_sha256"],
        typer.Option(
            help="How to compare: by words, ignoring case, spacing and punctuation; by exact "
            "characters; or by the digest of a row."
        ),
    ] = "text",
    apply: Annotated[
        bool,
        typer.Option(
            "--apply",
            help="Replace each file by one without the rows, and delete the stored chats.",
        ),
    ] = False,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Also delete the models trained on the files.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Find what has a text in all files and stored chats of the project. --apply removes it."""
    out = Out(as_json)
    value = sys.stdin.read().strip("\n") if text == "-" else text
    if apply:
        models = " and delete the models trained on them" if cascade else ""
        confirm(f"Replace all files that have such rows{models}?", yes=yes)
    with client() as server:
        made = server.organization.erasures.create(
            match={"type": by, "value": value}, apply=apply, cascade=cascade
        )
        found = server.organization.erasures.wait(made.id)
    if out.json:
        out.value(found)
    else:
        _show(out, found.result)
    if found.error is not None:
        raise ErasureEnded(found.error.message)
    kept = [file.file_id for file in _files(found) if file.error is not None]
    if kept:
        raise ErasureEnded(
            f"Not erased from {', '.join(kept)}.",
            next_step="Remove the reason, and run the command again.",
        )


_erasures.list(
    "List erasures, newest first.",
    Table(
        ["id", "status", Column("files", 2), Column("applied", 3), Column("created", 1)],
        lambda e: (e.id, e.status, len(_files(e)), e.apply, when(e.created_at)),
        "no erasures yet: `finetuned erasures create TEXT`",
    ),
    limit=20,
)


@app.command()
def show(
    erasure_id: Annotated[str, typer.Argument(metavar="ERASURE_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show an erasure: the files, lines and models that it found, and what it did."""
    out = Out(as_json)
    with client() as server:
        found = server.organization.erasures.retrieve(erasure_id)
    if out.json:
        out.value(found)
    else:
        out.say(f"{found.id} is {found.status}")
        _show(out, found.result)


_erasures.action("cancel", "Cancel an erasure.", lambda e: f"{e.id} is {e.status}")
_erasures.delete("Delete an erasure and its result.", "Delete {}?")


def _files(found: Erasure) -> list[ErasureFile]:
    return found.result.files if found.result else []


def _show(out: Out, found: ErasureResult | None) -> None:
    if found is None:
        return
    for model in found.models:
        out.say(f"{model} was trained on such rows")
    for file_id in found.unreadable_files:
        out.say(f"{file_id} could not be searched")
    chats = found.stored_chats.ids if found.stored_chats else []
    if not found.files and not chats:
        out.say("no such rows were found")
    for chat_id in chats:
        out.line(f"{chat_id}: stored chat")
    for place in found.places:
        out.say(f"{place.object} {place.id} has the text too. Delete it if it must be erased.")
    for file in found.files:
        name = "" if file.filename == file.file_id else f"  {file.filename}"
        out.line(f"{file.file_id}{name}: {_place(file)}{_change(file)}")
        if file.error is not None:
            out.say(f"{file.file_id}: {file.error}")


def _place(file: ErasureFile) -> str:
    if not file.lines:
        return "as a whole"
    lines = ", ".join(map(str, file.lines[:_SHOWN_LINES]))
    more = "" if len(file.lines) <= _SHOWN_LINES else ", …"
    count = file.matches or len(file.lines)
    return f"{count:,} {'row' if count == 1 else 'rows'} (line {lines}{more})"


def _change(file: ErasureFile) -> str:
    if not file.is_erased:
        return ""
    return f", replaced by {file.new_file}" if file.new_file else ", deleted"
