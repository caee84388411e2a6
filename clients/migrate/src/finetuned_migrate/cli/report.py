"""The `finetuned leave-openai report` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from finetuned_cli import complete
from finetuned_cli.failures import GateFailed, WrongUsage, openai_errors
from finetuned_cli.gates import failed_conditions, parse_gate
from finetuned_cli.output import Json, Out, plain
from finetuned_cli.session import client

from finetuned_migrate.cli.documents import markdown, text
from finetuned_migrate.cli.options import Folder, Only, chosen

if TYPE_CHECKING:
    from finetuned_migrate.openai import Compared, Source


def report(
    folder: Folder,
    only: Only = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Base model of the new models. Default: that of the newest job.",
            autocompletion=complete.bases,
        ),
    ] = None,
    graders: Annotated[
        Path | None, typer.Option(help="JSON list of graders for old and new answers.")
    ] = None,
    eval_id: Annotated[
        str | None, typer.Option("--eval", help="Recorded eval whose graders are used.")
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Condition on a figure, such as 'likeness>=50'; repeatable. Default: the verdict "
            "must be as_good.",
        ),
    ] = None,
    move: Annotated[
        bool, typer.Option("--move", help="Move the alias of each model that passes the gate.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --move: move it anyway; this is recorded.")
    ] = False,
    worst: Annotated[int, typer.Option(help="Number of worst rows.", min=0, max=1000)] = 5,
    form: Annotated[
        Literal["text", "md", "json"], typer.Option("--format", help="Format of the report.")
    ] = "text",
    as_json: Json = False,
) -> None:
    """Compare the old models' recorded answers with those of the new models.

    The exit code is 1 if a model does not pass the gate.
    """
    from finetuned_migrate.openai import Reporter, Source

    out = Out(as_json or form == "json")
    if force and not move:
        raise WrongUsage("--force needs --move.")
    conditions = parse_gate(gate or [])
    source = Source.open(folder)
    with client() as server, openai_errors():
        reporter = Reporter(
            server,
            source,
            graders=_graders(source, graders, eval_id),
            base=model,
            worst=worst,
            say=lambda told: out.say(told, "dim"),
        )
        found = reporter.report(
            chosen(only),
            (lambda figures: failed_conditions(conditions, figures)) if conditions else None,
            move=move,
            force=force,
        )
    _print(found, form, out)
    if failed := [one for one in found if not one.passed]:
        raise GateFailed(
            f"{len(failed)} of {len(found)} models do not pass: "
            + " ".join(f"{one.model}: {' '.join(one.failures)}" for one in failed),
            code="gate_failed",
        )


def _graders(source: Source, file: Path | None, eval_id: str | None) -> list[dict[str, Any]]:
    """Return the graders that were named. Raises WrongUsage."""
    found: list[dict[str, Any]] = []
    if eval_id is not None:
        recorded = next((one for one in source.evals if one["id"] == eval_id), None)
        if recorded is None:
            raise WrongUsage(f"The archive has no eval {eval_id}.", next_step="See evals.json.")
        found += recorded["testing_criteria"]
    if file is not None:
        try:
            given = json.loads(file.read_text("utf-8"))
        except ValueError as e:
            raise WrongUsage(f"{file} is not JSON: {e}.") from e
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise WrongUsage(f"{file} is not a list of graders.")
        found += given
    return found


def _print(found: list[Compared], form: str, out: Out) -> None:
    if out.json:
        out.value([plain(one) for one in found])
    elif form == "md":
        out.raw(markdown(found))
    else:
        out.raw(text(found))
