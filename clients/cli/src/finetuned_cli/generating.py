"""The `finetuned generations` commands: training rows from documents, by a model of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import finetuned
import typer
from finetuned.types import DatasetGeneration

from finetuned_cli import complete
from finetuned_cli.failures import GenerationEnded, WrongUsage
from finetuned_cli.nouns import Noun, Table, show
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, when
from finetuned_cli.sending import send
from finetuned_cli.session import base_model, client
from finetuned_cli.tables import Column

app = App(help="Training rows from documents.", no_args_is_help=True)
_generations = Noun(app, "dataset_generations", "GENERATION_ID")
_KINDS = ("questions", "rewrites", "refusals")


@app.command("create")
def create(
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
        made = server.dataset_generations.create(
            document_ids=[_id_of(server, given, out) for given in documents],
            model=name,
            kinds=wanted,  # type: ignore[arg-type]
            language=language,
            n=n,
            max_tokens_total=max_tokens,
            seed=seed,
        )
        out.say(f"created {made.id}")
        if wait:
            made = server.dataset_generations.wait(made.id, on_change=lambda one: _say(one, out))
    show(made, _facts, out)
    if made.result and made.result.output_file_id:
        out.say(f"Look at the rows: finetuned files get {made.result.output_file_id}")
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


def _facts(made: DatasetGeneration) -> list[tuple[str, object]]:
    dropped = sorted(made.counts.dropped.items(), key=lambda item: -item[1])
    result = made.result
    incomplete = result and result.incomplete_details
    return [
        ("generation", made.id),
        ("status", made.status),
        ("file", result and result.output_file_id),
        ("rows", made.counts.kept),
        ("dropped", ", ".join(f"{number} {reason}" for reason, number in dropped)),
        ("fewer because", incomplete and incomplete.reason),
        ("tokens", made.usage.total_tokens),
    ]


_generations.list(
    "List the project's generations, newest first.",
    Table(
        ["id", "status", Column("rows", 1), Column("file", 3), Column("created", 2)],
        lambda g: (
            *(g.id, g.status, g.counts.kept),
            *(g.result and g.result.output_file_id, when(g.created_at)),
        ),
        "no generations yet: `finetuned generations create DOCUMENT`",
    ),
    limit=20,
)
_generations.show("Show a generation, with its counts.", _facts)
_generations.action(
    "cancel", "Cancel a generation. Its rows so far are kept.", lambda g: f"{g.id} is {g.status}"
)
_generations.delete("Delete a generation that has ended. Its file is kept.", "Delete {}?")
