"""The `finetuned generate` command: training rows from documents, by a model of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import finetuned
from finetuned.cli import complete
from finetuned.cli.failures import GenerationEnded, WrongUsage
from finetuned.cli.output import Json, Out
from finetuned.cli.sending import send
from finetuned.cli.session import base_model, client
from finetuned.types import DatasetGeneration

_KINDS = ("questions", "rewrites", "refusals")


def generate(
    documents: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENT...",
            help="Text, Markdown or HTML files, or ids of uploaded ones.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model that writes the rows; may be omitted if the server has one base model.",
            autocompletion=complete.models,
        ),
    ] = None,
    kinds: Annotated[
        str, typer.Option(help="Kinds of rows, with commas: questions, rewrites, refusals.")
    ] = "questions",
    n: Annotated[int, typer.Option("-n", help="Number of rows wanted.", min=1)] = 100,
    language: Annotated[
        str | None, typer.Option(help="Language of the rows, such as de; that of the text if none.")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Total number of tokens that may be used.", min=1),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed for choosing passages.", min=0)
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the rows are written.")] = True,
    as_json: Json = False,
) -> None:
    """Generate training rows from documents, with a model of the server. Nothing leaves it.

    Look at the rows before you train on them: a small model writes weak questions.
    """
    out = Out(as_json)
    wanted = [kind.strip() for kind in kinds.split(",")]
    if unknown := [kind for kind in wanted if kind not in _KINDS]:
        raise WrongUsage(
            f"--kinds does not know '{unknown[0]}'.",
            next_step=f"Use one or more of these, with commas: {', '.join(_KINDS)}.",
        )
    with client() as server:
        name = base_model(server, model)
        made = server.generations.create(
            [_id_of(server, given, out) for given in documents],
            model=name,
            kinds=wanted,  # type: ignore[arg-type]
            language=language,
            n=n,
            max_tokens_total=max_tokens,
            seed=seed,
        )
        out.say(f"created {made.id}")
        if wait:
            made = server.generations.wait(made.id, on_progress=lambda one: _say(one, out))
    _show(made, out)
    if wait and made.status != "completed":
        error = made.error
        raise GenerationEnded(
            f"The generation ended early: {error.message if error else made.status}",
            code=error.code if error else made.status,
        )


def _id_of(server: finetuned.Client, given: str, out: Out) -> str:
    path = Path(given)
    if given.startswith("file-") and not path.exists():
        return given
    return send(server, path, out, purpose="user_data").id


def _say(made: DatasetGeneration, out: Out) -> None:
    counts = made.counts
    out.say(
        f"{made.status}: asked about {counts.asked} of {counts.passages} passages, kept "
        f"{counts.kept} of {made.n} rows",
        "dim",
    )


def _show(made: DatasetGeneration, out: Out) -> None:
    if out.json:
        out.value(made)
        return
    dropped = sorted(made.counts.dropped.items(), key=lambda item: -item[1])
    incomplete = made.incomplete_details
    out.facts(
        [
            ("generation", made.id),
            ("file", made.output_file_id),
            ("rows", made.counts.kept),
            ("dropped", ", ".join(f"{number} {reason}" for reason, number in dropped)),
            ("fewer because", incomplete and incomplete.reason),
            ("tokens", made.usage.total_tokens),
        ]
    )
    if made.output_file_id:
        out.say(f"Look at the rows: finetuned files get {made.output_file_id}")
