"""The `finetuned sweeps` commands."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer
from finetuned.types import Sweep, SweepTrial

from finetuned_cli import complete
from finetuned_cli.failures import SweepEnded
from finetuned_cli.nouns import Noun, Table
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, when
from finetuned_cli.sending import min_training_rows
from finetuned_cli.session import base_model, client, pairs
from finetuned_cli.tables import Column
from finetuned_cli.train import BaseModelName, file_id_of

app = App(help="Sweeps: jobs with different hyperparameters.", no_args_is_help=True)

SweepId = Annotated[
    str, typer.Argument(metavar="SWEEP_ID", autocompletion=complete.sweeps, show_default=False)
]


@app.command()
def create(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Local data file, or the id of an uploaded one.",
            autocompletion=complete.files,
            show_default=False,
        ),
    ],
    model: BaseModelName = None,
    learning_rate: Annotated[
        list[float] | None, typer.Option(help="Learning rate to try; repeatable.")
    ] = None,
    epochs: Annotated[
        list[int] | None, typer.Option(help="Number of epochs to try; repeatable.")
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(help="Batch size to try; repeatable.")
    ] = None,
    lora_rank: Annotated[
        list[int] | None, typer.Option(help="Rank of the adapter to try; repeatable.")
    ] = None,
    validation: Annotated[str | None, typer.Option(help="Validation file, or its id.")] = None,
    validation_share: Annotated[
        float | None, typer.Option(help="Share of the rows to hold out.", min=0, max=0.5)
    ] = None,
    method: Annotated[
        Literal["supervised", "dpo", "kto"], typer.Option(help="Training method.")
    ] = "supervised",
    stop_losers: Annotated[
        bool, typer.Option("--stop-losers/--all", help="Stop the worse trials, or train them all.")
    ] = True,
    suffix: Annotated[str | None, typer.Option(help="Suffix in the new models' names.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of all trials.", min=0)] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; repeatable.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow the sweep to its end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train with each combination of the values, and keep the best by the loss on held-out rows.

    A value that is given once is the same for all trials. Needs --validation or --validation-share.
    """
    out = Out(as_json)
    options = {"learning_rate": learning_rate, "n_epochs": epochs, "batch_size": batch_size}
    fixed, tried = _split(options)
    rank, ranks = _split({"r": lora_rank})
    hyperparameters = fixed | ({"lora": rank} if rank else {})
    if validation_share is not None:
        hyperparameters["validation_share"] = validation_share
    chosen: Any = {"type": method, method: {"hyperparameters": hyperparameters}}
    values: Any = tried | ({"lora": ranks} if ranks else {})
    with client() as server:
        sweep = server.sweeps.create(
            model=base_model(server, model),
            training_file=file_id_of(server, file, out, needed_rows=min_training_rows(server)),
            validation_file=validation and file_id_of(server, validation, out),
            method=chosen,
            values=values,
            stop_losers=stop_losers,
            suffix=suffix,
            seed=seed,
            metadata=pairs(metadata, "--metadata") if metadata else None,
        )
        if watch:
            out.say(f"created {sweep.id}")
            said: list[str] = []
            sweep = server.sweeps.wait(sweep.id, on_change=lambda one: _say(one, said, out))
    if watch or out.json:
        _show(sweep, out)
    else:
        out.line(sweep.id)
        out.say(f"Look at the trials: finetuned sweeps show {sweep.id}")
    if watch and sweep.status != "completed":
        error = sweep.error
        raise SweepEnded(
            f"The sweep has no winner: {error.message if error else sweep.status}",
            code=error.code if error else sweep.status,
        )


def _facts(sweep: Sweep) -> list[tuple[str, object]]:
    return [
        ("sweep", sweep.id),
        ("status", sweep.status),
        ("model", sweep.model),
        ("best job", sweep.result and sweep.result.best_job_id),
        ("result", sweep.result and sweep.result.fine_tuned_model),
    ]


_sweeps = Noun(app, "sweeps", "SWEEP_ID", complete=complete.sweeps)
_sweeps.list(
    "List the project's sweeps, newest first.",
    Table(
        ["id", Column("status", 1), Column("trials", 4), Column("created", 3), Column("best", 2)],
        lambda s: (
            *(s.id, s.status, len(s.trials), when(s.created_at)),
            s.result and s.result.best_job_id,
        ),
        "no sweeps yet: `finetuned sweeps create FILE --learning-rate A --learning-rate B`",
    ),
    limit=20,
)


@app.command()
def show(sweep_id: SweepId, as_json: Json = False) -> None:
    """Show a sweep, with its trials and their losses."""
    with client() as server:
        _show(server.sweeps.retrieve(sweep_id), Out(as_json))


_sweeps.action(
    "cancel",
    "Cancel a sweep and all of its jobs that have not ended.",
    lambda sweep: f"{sweep.id} is {sweep.status}",
)
_sweeps.delete("Delete a sweep that has ended. Its jobs and models are kept.", "Delete {}?")


def _split(options: dict[str, list[Any] | None]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Options that were given once, and those that were given several times."""
    given = {name: values for name, values in options.items() if values}
    once = {name: values[0] for name, values in given.items() if len(values) == 1}
    return once, {name: values for name, values in given.items() if len(values) > 1}


def _say(sweep: Sweep, said: list[str], out: Out) -> None:
    """Say the statuses of the trials, if they have changed."""
    states = [_status(trial) for trial in sweep.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    if said[-1:] != [counts]:
        said.append(counts)
        out.say(f"{sweep.status}: {counts}", "dim")


def _show(sweep: Sweep, out: Out) -> None:
    if out.json:
        out.value(sweep)
        return
    out.facts(_facts(sweep))
    out.table(
        ["job", Column("values", 2), Column("status", 1), Column("held-out loss", 1)],
        [
            (trial.job_id, _values(trial), _status(trial), trial.held_out_loss)
            for trial in sweep.trials
        ],
        empty="no trials",
    )


def _values(trial: SweepTrial) -> str:
    lora = {f"lora.{name}": value for name, value in trial.hyperparameters.get("lora", {}).items()}
    own = {name: value for name, value in trial.hyperparameters.items() if name != "lora"}
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in (own | lora).items())


def _status(trial: SweepTrial) -> str:
    if trial.stopped is not None:
        return "stopped"
    return "waiting" if trial.is_waiting else trial.status
