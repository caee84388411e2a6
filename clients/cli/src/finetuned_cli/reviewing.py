"""The `finetuned jobs review` command: people say in a terminal which of two answers is better."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from finetuned.types import EvaluationLabelTask

from finetuned_cli.evaluation import JobId
from finetuned_cli.output import Json, Out, printable
from finetuned_cli.session import client

_CHOICES: dict[str, Literal["first", "second", "tie"]] = {"1": "first", "2": "second", "3": "tie"}
_STOP = "q"


def review(
    job_id: JobId,
    rival: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column to compare the tuned model with, such as base. By default, the best "
            "prompt if there is one.",
        ),
    ] = None,
    overlap: Annotated[int, typer.Option(help="Number of labels that each row should have.")] = 2,
    as_json: Json = False,
) -> None:
    """Compare answers of a job's evaluation without knowing which model gave them.

    Each choice is stored at once. Personal data is masked. With --json, prints the next answers.
    """
    out = Out(as_json)
    pair = None if rival is None else ["tuned", rival]
    with client() as server:
        evaluation = server.fine_tuning.jobs.evaluation
        queue = evaluation.labels.queue(
            job_id, compared=pair, overlap=overlap, personal_data="mask"
        )
        if out.json:
            out.value(queue)
            return
        is_stopped = False
        while queue.tasks and not is_stopped:
            for task in queue.tasks:
                choice = _ask(task, out)
                if is_stopped := choice == _STOP:
                    break
                evaluation.labels.set(
                    row=task.row,
                    job_id=job_id,
                    compared=queue.compared,
                    winner=_CHOICES[choice],
                    shown=task.shown,
                )
            queue = evaluation.labels.queue(
                job_id, compared=queue.compared, overlap=overlap, personal_data="mask"
            )
        progress = queue.progress
        out.line(
            f"You labeled {progress.own} of {progress.rows} rows. "
            f"{progress.done} have {overlap} labels, and {progress.open} are left for you."
        )
        found = evaluation.retrieve(job_id).human_review
        for sentence in found.sentences if found else []:
            out.line(sentence)


def _ask(task: EvaluationLabelTask, out: Out) -> str:
    """Show two answers, and return which is better: a key of the choices, or that to stop."""
    out.line(f"\nRow {task.row}", style="bold")
    for message in task.prompt:
        out.line(f"{message.get('role')}: {_text(message.get('content'))}")
    for number, answer in enumerate(task.answers, 1):
        out.line(f"\nAnswer {number}", style="bold")
        out.line("\n".join([answer.text, *map(_text, answer.tool_calls)]).strip() or "(empty)")
    while True:
        asked = "\nWhich would you send? 1, 2, 3 for a tie, or q to stop"
        choice = str(typer.prompt(asked, err=True)).strip()
        if choice in {*_CHOICES, _STOP}:
            return choice


def _text(value: Any) -> str:
    return value if isinstance(value, str) else printable(value)
