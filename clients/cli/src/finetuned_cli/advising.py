"""The `finetuned advice` commands: is a training worth it?"""

from __future__ import annotations

from typing import Annotated

import typer
from finetuned.types import AdviceResult

from finetuned_cli.failures import AdviceEnded
from finetuned_cli.nouns import Noun, Table
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, span, when
from finetuned_cli.session import base_model, client
from finetuned_cli.tables import Column
from finetuned_cli.train import BaseModelName, file_id_of

app = App(help="Is a training worth it?", no_args_is_help=True)


@app.command()
def create(
    file: Annotated[str, typer.Argument(help="Data file, or the id of an uploaded one.")],
    model: BaseModelName = None,
    as_json: Json = False,
) -> None:
    """Advise before a training: train, use a prompt or retrieval, or work on the data first?

    The base model answers some rows of the file, with and without a prompt.
    """
    out = Out(as_json)
    with client() as server:
        base = base_model(server, model)
        file_id = file_id_of(server, file, out)
        out.say(f"asking {base}; this takes a minute on a CPU", "dim")
        found = server.advice.create_and_wait(model=base, training_file_id=file_id)
    if out.json:
        out.value(found)
    elif found.result is not None:
        _show(found.result, out)
    if found.status != "completed":
        error = found.error
        raise AdviceEnded(
            f"There is no advice: {error.message if error else 'no reason was given'}",
            code=error.code if error else found.status,
        )


@app.command()
def show(
    advice_id: Annotated[str, typer.Argument(metavar="ADVICE_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show an advice."""
    out = Out(as_json)
    with client() as server:
        found = server.advice.retrieve(advice_id)
    if out.json:
        out.value(found)
    elif found.result is not None:
        _show(found.result, out)
    else:
        out.line(f"{found.id} is {found.status}")


_advice = Noun(app, "advice", "ADVICE_ID")
_advice.list(
    "List advice, newest first.",
    Table(
        ["id", "status", Column("file", 3), Column("advice", 1), Column("created", 2)],
        lambda a: (
            *(a.id, a.status, a.training_file_id),
            *(a.result and a.result.recommendation, when(a.created_at)),
        ),
        "no advice yet: `finetuned advice create FILE`",
    ),
    limit=20,
)
_advice.action("cancel", "Cancel an advice.", lambda a: f"{a.id} is {a.status}")
_advice.delete("Delete an advice.")


def _show(found: AdviceResult, out: Out) -> None:
    base, prompt, gain = found.base, found.prompt, found.expected_gain
    signs, duration = found.retrieval, found.estimate and found.estimate.duration
    out.line(found.sentence)
    out.facts(
        [
            ("metric", found.metric),
            ("base", base and _interval(base.points, base.low, base.high)),
            ("best prompt", prompt and _interval(prompt.points, prompt.low, prompt.high)),
            (
                "expected gain",
                f"{_interval(gain.points, gain.low, gain.high)}, by {gain.models} models"
                if gain
                else "unknown",
            ),
            ("search", signs and f"finds {signs.found} of {signs.rows} answers"),
            ("training", duration and span(duration.expected)),
        ]
    )
    for finding in found.findings or []:
        out.say(f"  {finding.title}", "dim")
    for note in found.notes or []:
        out.say(f"  {note}", "dim")


def _interval(points: float, low: float, high: float) -> str:
    return f"{points:.1f} ({low:.1f} to {high:.1f})"
