"""The `finetuned jobs` commands."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from finetuned import params
from finetuned.types import FineTuningJob, FineTuningJobEvent

from finetuned_cli import complete, evaluation, reviewing, watching
from finetuned_cli.evaluation import JobId
from finetuned_cli.failures import WrongUsage
from finetuned_cli.listing import After, Limit, listed
from finetuned_cli.nouns import Noun, Table
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, Wide, plain, span, when
from finetuned_cli.session import client, pairs
from finetuned_cli.tables import Column

app = App(help="Fine-tuning jobs and their verdicts.", no_args_is_help=True)
_jobs = Noun(app, "fine_tuning.jobs", "JOB_ID", complete=complete.jobs)
_TABLE = Table(
    [
        *("id", Column("status", 1), Column("model", 5), Column("suffix", 4)),
        *(Column("created", 3), Column("result", 2)),
    ],
    lambda j: (j.id, _status(j), j.model, j.suffix, when(j.created_at), j.fine_tuned_model),
    "no jobs yet: `finetuned train FILE --model MODEL --watch`",
)

_SHOWN_EVENTS, _SEARCHED_EVENTS = 5, 20


@app.command()
def create(
    request: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="YAML or JSON file with the fields of the request, as the console shows them.",
            show_default=False,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Create a job from a file with its request.

    Files of rows are named by their ids. `finetuned train` takes local ones.
    """
    out = Out(as_json)
    body = _read_request(request)
    with client() as server:
        made = server.fine_tuning.jobs.create(**body)
    if out.json:
        out.value(made)
        return
    out.line(made.id)
    out.say(f"Follow it: finetuned jobs watch {made.id}")


def _read_request(path: Path) -> dict[str, Any]:
    """Return the fields of a request for a job. Raises WrongUsage."""
    import yaml

    try:
        body = yaml.safe_load(path.read_text("utf-8-sig"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as e:
        raise WrongUsage(f"FILE: {path} cannot be read as YAML: {e}") from None
    if not isinstance(body, dict) or not {"model", "training_file"} <= body.keys():
        raise WrongUsage(f"FILE: {path} needs at least the fields model and training_file.")
    if unknown := sorted(map(str, body.keys() - params.CreateFineTuningJob.__annotations__.keys())):
        raise WrongUsage(f"FILE: {path} has unknown fields: {', '.join(unknown)}.")
    return body


@app.command("list")
def list_jobs(
    limit: Limit = 20,
    after: After = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; repeatable.")] = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the project's jobs, newest first."""
    out = Out(as_json)
    with client() as server:
        filters = pairs(metadata or [], "--metadata")
        jobs = server.fine_tuning.jobs
        found = listed(jobs.list, out, metadata=filters, limit=limit, after=after)
    _TABLE.show(found, out, wide=wide)


@app.command()
def show(job_id: JobId, as_json: Json = False) -> None:
    """Show a job, with its checkpoints and latest events."""
    out = Out(as_json)
    with client() as server:
        job = server.fine_tuning.jobs.retrieve(job_id)
        checkpoints = server.fine_tuning.jobs.checkpoints.list(job_id, limit=5).data
        recent = server.fine_tuning.jobs.list_events(job_id, limit=_SEARCHED_EVENTS).data
    latest = recent[:_SHOWN_EVENTS]
    if out.json:
        out.value({**plain(job), "checkpoints": checkpoints, "events": latest})
        return
    _facts(job, next((event for event in recent if "total_steps" in event.data), None), out)
    for checkpoint in checkpoints:
        measured = _measured(plain(checkpoint.metrics))
        step = f"step {checkpoint.step_number}{measured}"
        out.line(f"checkpoint  {checkpoint.fine_tuned_model_checkpoint}  {step}")
    for event in reversed(latest):
        _event(event, out)


def _measured(figures: dict[str, Any]) -> str:
    """Return the losses, or the rewards, of a step."""
    named = {"train_loss": "loss", "full_valid_loss": "validation loss"}
    if figures.get("valid_loss") is not None:
        named = {"train_loss": "loss", "valid_loss": "validation loss"}
    if figures.get("train_reward_mean") is not None:
        named = {"train_reward_mean": "reward", "valid_reward_mean": "validation reward"}
    kept = ((name, figures.get(key)) for key, name in named.items())
    return "".join(f", {name} {value:.3f}" for name, value in kept if value is not None)


def _event(event: FineTuningJobEvent, out: Out) -> None:
    time = when(event.created_at)
    out.line(f"{time}  {watching.said(event)}", hanging=len(time) + 2)


@app.command()
def events(
    job_id: JobId,
    limit: Limit = 20,
    before: Annotated[
        str | None, typer.Option(help="Print the events before this one.", metavar="EVENT_ID")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print all events until the job ends.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the latest events of a job, oldest first; with --json, one per line."""
    out = Out(as_json)
    latest: Iterable[FineTuningJobEvent]
    with client() as server:
        if follow:
            latest = server.fine_tuning.jobs.watch(job_id)
        else:  # the list is newest first
            newest = listed(
                server.fine_tuning.jobs.list_events, out, job_id, limit=limit, after=before
            )
            latest = reversed(newest)
        for event in latest:
            if out.json:
                out.json_line(event)
            else:
                _event(event, out)


@app.command()
def watch(job_id: JobId, as_json: Json = False) -> None:
    """Follow a job to its end. Exits with 5 if it fails or is canceled."""
    with client() as server:
        watching.watch(server, job_id, Out(as_json))


app.command("verdict")(evaluation.verdict)
app.command("review")(reviewing.review)
_jobs.action("cancel", "Cancel a job permanently.", lambda job: f"{job.id} is {_status(job)}")
_jobs.action(
    "pause",
    "Pause a job and keep its progress. It is paused once its checkpoint is stored.",
    lambda job: f"{job.id} is {_status(job)}",
)
_jobs.action("resume", "Resume a paused job.", lambda job: f"{job.id} is {_status(job)}")


def _status(job: FineTuningJob) -> str:
    if getattr(job, "pausing", False):  # older servers do not send it
        return f"{job.status} (pausing)"
    return f"{job.status} ({job.queue_position})" if job.queue_position else job.status


def _mixed(job: FineTuningJob) -> str | None:
    mixed = getattr(job, "mixed_files", None) or ()  # older servers do not send it
    return ", ".join(f"{one.file} × {one.weight:g}" for one in mixed) or None


def _facts(job: FineTuningJob, newest: FineTuningJobEvent | None, out: Out) -> None:
    """Print the fields of a job. `newest` is the event of its newest step."""
    data = {} if newest is None else newest.data
    reached = data and f"{data['step']} of {data['total_steps']}{_measured(data)}"
    duration = job.finished_at and span(job.finished_at - job.created_at)
    out.facts(
        [
            ("id", job.id),
            ("status", _status(job)),
            ("step", reached),
            ("error", job.error and job.error.message),
            ("base model", job.model),
            ("result", job.fine_tuned_model),
            ("training file", job.training_file),
            ("mixed files", _mixed(job)),
            ("validation file", job.validation_file),
            ("result files", ", ".join(job.result_files)),
            ("epochs", str(job.hyperparameters.n_epochs)),
            ("batch size", str(job.hyperparameters.batch_size)),
            ("trained tokens", job.trained_tokens),
            ("seed", str(job.seed)),
            ("created", when(job.created_at)),
            ("finished", when(job.finished_at)),
            ("duration", duration),
            ("estimated finish", when(job.estimated_finish)),
        ]
    )
