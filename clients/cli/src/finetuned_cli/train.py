"""The `finetuned train` command: creates a job from a file and, with --watch, follows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import finetuned
import typer
from finetuned.types import FileObject, FineTuningEstimate

from finetuned_cli import complete
from finetuned_cli.evaluation import BaselinePrompt, tell_verdict
from finetuned_cli.failures import WrongUsage
from finetuned_cli.gates import parse_gate
from finetuned_cli.output import Json, Out, size, span
from finetuned_cli.sending import min_training_rows, most_rows, require_rows, send_once
from finetuned_cli.session import base_model, client, pairs
from finetuned_cli.watching import watch as watch_job

# A verdict to serve needs 20 rows with different prompts, of which some may fail or be left out.
_HOLDOUT, _LEAST_HELD, _HOLDOUT_ROWS = 0.1, 25, 100

BaseModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Base model; may be omitted if the server has one.",
        autocompletion=complete.bases,
    ),
]


def train(
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
    validation: Annotated[str | None, typer.Option(help="Validation file, or its id.")] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the rows to hold out for the evaluation, up to 0.5; 0 for none. "
            f"Default: {_HOLDOUT:g}, but at least {_LEAST_HELD} rows, of a file with at least "
            f"{_HOLDOUT_ROWS} rows, unless there is a validation file.",
            min=0,
            max=0.5,
        ),
    ] = None,
    mix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[=WEIGHT]",
            help="File to mix in, or its id, and how often an epoch draws each of its rows, such "
            "as 'chats.jsonl=0.25'; repeatable.",
        ),
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="Suffix in the new model's name.")] = None,
    method: Annotated[
        Literal["supervised", "dpo", "kto", "pretraining", "reinforcement"],
        typer.Option(help="Training method."),
    ] = "supervised",
    grader: Annotated[
        Path | None,
        typer.Option(help="JSON file with the grader of the method reinforcement."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Number of passes over the data.", min=1, max=50)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step.", min=1, max=256)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Absolute learning rate.")] = None,
    learning_rate_multiplier: Annotated[
        float | None, typer.Option(help="Multiplier for the default learning rate.")
    ] = None,
    lora_rank: Annotated[
        int | None, typer.Option(help="Rank of the adapter.", min=1, max=512)
    ] = None,
    quantization: Annotated[
        Literal["nf4", "none"] | None, typer.Option(help="nf4 for QLoRA, none for LoRA.")
    ] = None,
    max_seq_length: Annotated[
        int | None, typer.Option(help="Tokens after which rows are truncated.", min=64)
    ] = None,
    beta: Annotated[float | None, typer.Option(help="Beta of DPO, KTO or reinforcement.")] = None,
    group_size: Annotated[
        int | None, typer.Option(help="Answers to each prompt of reinforcement.", min=2, max=64)
    ] = None,
    max_completion_tokens: Annotated[
        int | None, typer.Option(help="Tokens of an answer of reinforcement.", min=1)
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(help="Trained model to start from.", autocompletion=complete.models),
    ] = None,
    keep_best: Annotated[
        bool, typer.Option("--keep-best", help="Keep the step with the lowest validation loss.")
    ] = False,
    early_stopping: Annotated[
        int | None, typer.Option(help="Stop after N validations without improvement.", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the job.", min=0)] = None,
    priority: Annotated[
        int | None,
        typer.Option(help="Priority in the queue; higher runs first.", min=-100, max=100),
    ] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; repeatable.")] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Condition that the evaluation must meet, such as 'chrf_gain>=5'; repeatable.",
        ),
    ] = None,
    prompt: BaselinePrompt = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="EXPERIMENT", help="Send the metrics to this experiment on the MLflow server."
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Print an estimate; create no job.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow the job to its end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a base model on a data file. Omitted settings are chosen from the data."""
    out = Out(as_json)
    if holdout and validation:
        raise WrongUsage("--holdout and --validation cannot be combined: pass one of them.")
    if holdout == 0 and (keep_best or early_stopping):
        raise WrongUsage(
            "--keep-best and --early-stopping compare steps by held-out rows, so --holdout cannot "
            "be 0."
        )
    hyperparameters = _given(
        n_epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        learning_rate_multiplier=learning_rate_multiplier,
        lora=_given(r=lora_rank) or None,
        quantization=quantization,
        max_seq_length=max_seq_length,
        beta=beta,
        group_size=group_size,
        max_completion_tokens=max_completion_tokens,
        warm_start=warm_start,
        keep_best=keep_best or None,
        early_stopping=_given(patience=early_stopping) or None,
    )
    options = {"hyperparameters": hyperparameters}
    with client() as server:
        base = base_model(server, model)
        rows = checked_file(server, file, out, needed_rows=min_training_rows(server))
        if holdout is None and validation is None and method != "pretraining":
            chooses = bool(keep_best or early_stopping)
            holdout = _default_holdout(rows, out, needed=chooses)
            if holdout and chooses:
                out.say("holding out as many more to choose the step")
                holdout = min(2 * holdout, 0.5)
        if holdout:
            hyperparameters["validation_share"] = holdout
        request: dict[str, Any] = {
            "model": base,
            "training_file": rows.id,
            "validation_file": validation and file_id_of(server, validation, out),
            "mixed_files": [_mixed(server, one, out) for one in mix or ()] or None,
            "method": {"type": method, method: {**_graded_by(grader), **options}},
            "suffix": suffix,
            "seed": seed,
            "priority": priority,
            "metadata": pairs(metadata, "--metadata") if metadata else None,
            "gate": parse_gate(gate or []) or None,
            "baseline_prompt": None if prompt is None else prompt.read(),
            "integrations": _tracked_in(mlflow),
        }
        if estimate:
            _show_estimate(server.fine_tuning.jobs.wait_for_estimate(**request), out)
            return
        job = server.fine_tuning.jobs.create(**request)
        if watch:
            out.say(f"created {job.id}")
            watch_job(server, job.id, out)
            if (validation or holdout) and method != "pretraining":
                tell_verdict(server, job.id, out)
            return
    if out.json:
        out.value(job)
        return
    out.line(job.id)
    out.say(f"Follow the job: finetuned jobs watch {job.id}")


def _default_holdout(file: FileObject, out: Out, *, needed: bool) -> float | None:
    """Return the share of a file's rows to hold out, and say how to change it."""
    rows = file.rows or 0
    if rows < _HOLDOUT_ROWS and not needed:
        out.say(
            f"no evaluation: below {_HOLDOUT_ROWS} rows, pass --holdout SHARE or --validation FILE "
            "for one",
            "dim",
        )
        return None
    share = _HOLDOUT
    if rows >= _HOLDOUT_ROWS:
        share = max(_HOLDOUT, round(_LEAST_HELD / rows, 3))
    held = max(1, round(share * rows))
    out.say(f"holding out about {held} rows for the evaluation; --holdout changes this")
    return share


def _mixed(server: finetuned.Client, given: str, out: Out) -> dict[str, Any]:
    """Return a file to mix in, from FILE or FILE=WEIGHT."""
    file, separator, weight = given.rpartition("=")
    if not separator or Path(given).exists():
        return {"file": file_id_of(server, given, out)}
    try:
        drawn = float(weight)
    except ValueError:
        raise WrongUsage(f"--mix takes FILE or FILE=WEIGHT, not '{given}'.") from None
    return {"file": file_id_of(server, file, out), "weight": drawn}


def _graded_by(grader: Path | None) -> dict[str, Any]:
    """Return the option of a grader, from its file."""
    if grader is None:
        return {}
    try:
        return {"grader": json.loads(grader.read_text("utf-8"))}
    except (OSError, ValueError) as e:
        raise WrongUsage(f"--grader: {grader} cannot be read as JSON: {e}") from None


def _tracked_in(experiment: str | None) -> list[dict[str, Any]] | None:
    if experiment is None:
        return None
    return [{"type": "mlflow", "mlflow": {"experiment_name": experiment}}]


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def file_id_of(server: finetuned.Client, given: str, out: Out, *, needed_rows: int = 0) -> str:
    """Return the id of a validated file, as `checked_file` does."""
    return checked_file(server, given, out, needed_rows=needed_rows).id


def checked_file(
    server: finetuned.Client, given: str, out: Out, *, needed_rows: int = 0
) -> FileObject:
    """Return a validated file. A local file that the server lacks is uploaded first.

    Raises BadRequest if the file has fewer than `needed_rows`, before the upload if possible.
    """
    path = Path(given)
    is_id = given.startswith("file-") and not path.exists()
    if not is_id and needed_rows and path.is_file():
        require_rows(path.name, most_rows(path, needed_rows), needed_rows)
    file_id = given if is_id else send_once(server, path, out).id
    checked = server.files.wait(file_id)
    require_rows(checked.filename, checked.rows, needed_rows)
    warnings = f", {checked.warnings} warnings" if checked.warnings else ""
    out.say(f"checked {checked.filename}: {checked.rows} rows{warnings}")
    if checked.warnings:
        out.say(f"  see: finetuned files report {file_id}", "dim")
    return checked


def _shared(found: FineTuningEstimate) -> str | None:
    """Return how several GPUs share the job. None for one."""
    if found.sharding is None:
        return None
    how = {"ddp": "each holds the whole base model", "fsdp": "each holds a part of the base model"}
    return f"{found.gpus}, {how[found.sharding]}"


def _show_estimate(found: FineTuningEstimate, out: Out) -> None:
    if out.json:
        out.value(found)
        return
    memory, duration = found.memory, found.duration
    out.facts(
        [
            ("model", found.model),
            ("rows", found.rows),
            ("steps", found.steps),
            ("tokens", found.trained_tokens),
            ("device", found.device or "no worker is online"),
            ("GPUs", _shared(found)),
            ("memory", memory and f"{size(memory.total)} of {size(memory.available or 0)}"),
            ("fits", found.fits),
            (
                "time",
                duration
                and f"{span(duration.expected)} ({span(duration.low)} to {span(duration.high)})",
            ),
            ("advice", found.advice),
        ]
    )
    for reason in found.reasons:
        out.say(f"  {reason}", "dim")
