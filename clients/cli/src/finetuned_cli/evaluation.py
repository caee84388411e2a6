"""The `finetuned jobs verdict` command: the verdict on a job, and a gate for CI."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import finetuned
import typer
from finetuned.errors import NotFound
from finetuned.types import FineTuningJobEvaluation

from finetuned_cli import complete, scores
from finetuned_cli.failures import (
    EvaluationEnded,
    EvaluationInProgress,
    GateFailed,
    WrongUsage,
)
from finetuned_cli.gates import failed_conditions, parse_gate
from finetuned_cli.output import Json, Out, plain, printable
from finetuned_cli.session import client

Form = Literal["json", "md", "html"]
JobId = Annotated[
    str, typer.Argument(metavar="JOB_ID", autocompletion=complete.jobs, show_default=False)
]
BaselinePrompt = Annotated[
    typer.FileText | None,
    typer.Option(
        "--baseline-prompt",
        metavar="FILE",
        encoding="utf-8",
        help="Text file with your own system prompt, with which the model is compared.",
    ),
]
_FORMS: dict[str, Form] = {".html": "html", ".md": "md", ".json": "json"}


def verdict(
    job_id: JobId,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Condition on a figure, such as 'chrf_gain>=5' or parity=checked; repeatable.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the report to a file that ends in .html, .md or .json."
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for the job and its evaluation, or exit with 6.")
    ] = True,
    again: Annotated[
        bool,
        typer.Option("--again", help="Run the evaluation again before showing it."),
    ] = False,
    prompt: BaselinePrompt = None,
    as_json: Json = False,
) -> None:
    """Show the verdict on a job: is the tuned model better than the base model and a prompt?

    Without --gate, the gate of the job applies. Exits with 0 if the evaluation is completed and
    passes the gate, with 1 if the gate fails, and with 5 if the evaluation failed or was skipped.
    """
    out = Out(as_json)
    conditions = parse_gate(gate or [])
    form = None if report is None else _form(report)
    with client() as server:
        if again or prompt:
            own = None if prompt is None else prompt.read()
            server.fine_tuning.jobs.evaluation.create(job_id, baseline_prompt=own)
        found = (
            _ended(server, job_id, out)
            if wait
            else server.fine_tuning.jobs.evaluation.retrieve(job_id)
        )
        if not conditions and found.gate is not None:
            conditions = found.gate.conditions
        failed = failed_conditions(conditions, found.figures or {}) if _completed(found) else []
        if out.json:
            _print_json(found, conditions, failed, out)
        elif _completed(found):
            scores.show(
                found,
                json.loads(server.fine_tuning.jobs.evaluation.report(job_id, format="json")),
                out,
            )
        _require_completed(found)
        if report is not None and form is not None:
            report.write_text(
                server.fine_tuning.jobs.evaluation.report(job_id, format=form), "utf-8"
            )
            out.say(f"The report is in {report}.")
    if failed:
        raise GateFailed("The gate failed: " + " ".join(failed), code="gate_failed")
    if conditions:
        out.say("The gate passed.", "green")


def tell_verdict(server: finetuned.Client, job_id: str, out: Out) -> None:
    """Wait for the evaluation of a job and say its verdict. With JSON, the job is the last line."""
    if out.json:
        return
    out.say("The model is ready. It is compared with the base model on the held-out rows:")
    try:
        found = _ended(server, job_id, out)
    except NotFound:
        return
    except KeyboardInterrupt:
        out.say(f"\nThe evaluation continues. Its verdict: finetuned jobs verdict {job_id}")
        raise
    if found.verdict is None:
        reason = found.error.message if found.error else found.status
        out.say(f"There is no verdict: {reason}", "yellow")
        return
    scores.say_verdict(found.verdict, out)
    out.say(f"What it is based on: finetuned jobs verdict {job_id}")


def _form(report: Path) -> Form:
    form = _FORMS.get(report.suffix.lower())
    if form is None:
        raise WrongUsage("The name of the report must end in .html, .md or .json.")
    return form


def _ended(server: finetuned.Client, job_id: str, out: Out) -> FineTuningJobEvaluation:
    with _progress(out) as show:
        return server.fine_tuning.jobs.evaluation.wait(job_id, on_change=show)


@contextmanager
def _progress(out: Out) -> Iterator[Callable[[FineTuningJobEvaluation], object]]:
    """Show the phase on stderr: a status line on a terminal, one line per phase in a pipe."""
    if out.json or not out.errors.is_terminal:
        said = [""]

        def say(found: FineTuningJobEvaluation) -> None:
            if found.phase and _phase(found) != said[-1]:
                said.append(_phase(found))
                out.say(said[-1])

        yield say
        return
    with out.errors.status("waiting for the evaluation") as status:
        yield lambda found: status.update(_phase(found))


def _phase(found: FineTuningJobEvaluation) -> str:
    rows = f", {found.rows} rows" if found.rows else ""
    return f"evaluation: {printable(found.phase or found.status).replace('_', ' ')}{rows}"


def _completed(found: FineTuningJobEvaluation) -> bool:
    return found.status == "completed"


def _require_completed(found: FineTuningJobEvaluation) -> None:
    if found.status == "in_progress":
        raise EvaluationInProgress(
            f"The evaluation of {found.job_id} is in progress: {_phase(found)}.",
            code="invalid_state",
            next_step=f"Run `finetuned jobs verdict {found.job_id}` to wait for it.",
        )
    if not _completed(found):
        reason = found.error.message if found.error else "no reason was given"
        raise EvaluationEnded(
            f"The evaluation of {found.job_id} was {found.status}: {reason}"
            if found.status == "skipped"
            else f"The evaluation of {found.job_id} failed: {reason}",
            code=found.error.code if found.error else found.status,
            next_step=f"Run it again with `finetuned jobs verdict {found.job_id} --again`.",
        )


def _print_json(
    found: FineTuningJobEvaluation, gate: dict[str, str], failed: list[str], out: Out
) -> None:
    shown = plain(found)
    if gate and _completed(found):
        shown["gate"] = {"conditions": gate, "passed": not failed, "failures": failed}
    out.value(shown)
