"""The `finetuned leave-openai plan` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from finetuned_cli import complete
from finetuned_cli.output import Json, Out, size, span
from finetuned_cli.session import client
from finetuned_cli.tables import Column

from finetuned_migrate.cli.options import Folder, Only, chosen

if TYPE_CHECKING:
    from finetuned_migrate.openai import Plan
    from finetuned_migrate.openai.plan import Fit, ModelPlan


def plan(
    folder: Folder,
    only: Only = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Base model. Default: all.", autocompletion=complete.bases
        ),
    ] = None,
    upload: Annotated[
        bool,
        typer.Option("--upload", help="Upload the training files, for languages, memory and time."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show which base models fit each old model, what differs, and what is left behind.

    Creates nothing without --upload. `retrain` uses the files that were uploaded.
    """
    from finetuned_migrate.openai import Planner, Source
    from finetuned_migrate.openai.uploads import Uploads

    out = Out(as_json)
    source = Source.open(folder)
    with client() as server:
        uploads = Uploads(server, source, say=lambda text: out.say(text, "dim"))
        found = Planner(server, source, upload=upload, uploads=uploads).plan(chosen(only), model)
    if out.json:
        out.value(found)
        return
    _show(found, out)


def _show(found: Plan, out: Out) -> None:
    for model in found.models:
        _show_model(model, out)
    if found.left_behind:
        out.say("left behind:")
        for one in found.left_behind:
            out.line(f"- {one.what}: {one.reason}")


def _show_model(model: ModelPlan, out: Out) -> None:
    out.facts(
        [
            ("model", model.model),
            ("trained", f"{model.method}, {model.job}" if model.job else None),
            ("rows", model.rows or None),
            ("languages", ", ".join(model.languages)),
            ("answers", model.answers),
            ("migrates", model.migrates),
        ]
    )
    for obstacle in model.obstacles:
        out.line(f"- {obstacle}")
    for difference in model.differences:
        out.line(f"- {difference}")
    if model.bases:
        out.table(
            [
                *("base", "fits", "license", "context"),
                Column("languages", 6, cut="end"),
                *(Column("memory", 5), Column("time", 4), Column("reasons", 1, cut="end")),
            ],
            [_cells(fit) for fit in model.bases],
        )
    out.line("")


def _cells(fit: Fit) -> list[object]:
    memory, time = "", ""
    if fit.memory is not None:
        memory = f"{size(fit.memory)} of {size(fit.available_memory or 0)}"
    if fit.expected_s is not None:
        time = f"{span(fit.expected_s)} ({span(fit.low_s or 0)} to {span(fit.high_s or 0)})"
    return [
        fit.base,
        "unknown" if fit.fits is None else fit.fits,
        fit.license,
        fit.context_length,
        ", ".join(fit.languages),
        memory,
        time,
        "; ".join(fit.reasons),
    ]
