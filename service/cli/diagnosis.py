"""`finetuned-server doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from service.cli.common import NewDataDir, fail


def doctor(
    data_dir: NewDataDir = Path("var"),
    port: Annotated[int, typer.Option(help="Port that the API will use.", min=0, max=65535)] = 8000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print which engines and trainings `up` puts on which GPU."),
    ] = False,
    gpus: Annotated[
        str | None,
        typer.Option(help="With --plan: other GPUs than this machine's, such as 4x24GiB."),
    ] = None,
    row_tokens: Annotated[
        int,
        typer.Option(
            min=64, max=1_000_000, help="With --plan: tokens in the longest row of a training."
        ),
    ] = 2048,
    egress: Annotated[
        bool,
        typer.Option(
            "--egress", help="Watch where the service's processes on this machine connect to."
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(help="With --egress: how long to watch.", min=0, max=86_400)
    ] = 10,
) -> None:
    """Report what this machine lacks to run the service, and how to fix it."""
    if plan or gpus is not None:
        _print_plan(data_dir, gpus, row_tokens, as_json=as_json)
        return
    from service.cli.doctor import examine, examine_egress

    findings = examine_egress(data_dir, seconds) if egress else examine(data_dir, port)
    if as_json:
        typer.echo(json.dumps([vars(f) for f in findings]))
    else:
        for finding in findings:
            typer.echo(str(finding))
    if any(f.level == "missing" for f in findings):
        raise typer.Exit(1)


def _print_plan(data_dir: Path, gpus: str | None, row_tokens: int, *, as_json: bool) -> None:
    from service.cli.doctor import machine_plan
    from service.cli.plan import BadGpus, as_text

    try:
        found = machine_plan(data_dir, gpus, row_tokens)
    except BadGpus as e:
        fail(e)
    typer.echo(json.dumps(found) if as_json else as_text(found))
    if found["unplaced"]:
        raise typer.Exit(1)
