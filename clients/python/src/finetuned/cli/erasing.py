"""The `finetuned erase` command: finds rows by their text in all files, and removes them."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from finetuned.cli.output import Json, Out
from finetuned.cli.session import client, confirm

_SHOWN_LINES = 10


def erase(
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
            help="How to compare: the words whatever their case, spacing and punctuation; exactly "
            "these characters; or the digest of a row."
        ),
    ] = "text",
    apply: Annotated[
        bool, typer.Option("--apply", help="Replace each file by one without the rows.")
    ] = False,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Also delete the models trained on the files.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Find the rows with a text in all files of the project. With --apply, remove them."""
    out = Out(as_json)
    value = sys.stdin.read().strip("\n") if text == "-" else text
    if apply:
        models = " and delete the models trained on them" if cascade else ""
        confirm(f"Replace all files that have such rows{models}?", yes=yes)
    with client() as server:
        made = server.erasures.create(value, type=by, apply=apply, cascade=cascade)
        found = server.erasures.wait(made.id)
    if out.json:
        out.value(found)
        return
    for model in found.models:
        out.say(f"{model} was trained on such rows")
    for file_id in found.unreadable_files:
        out.say(f"{file_id} could not be searched")
    if found.error is not None:
        out.say(found.error.message)
    for file in found.files:
        lines = ", ".join(map(str, file.lines[:_SHOWN_LINES]))
        if file.error is not None:
            out.say(f"{file.file_id}: {file.error}")
        out.line(f"{file.file_id}  {file.filename}: {f'line {lines}' if lines else 'as a whole'}")
