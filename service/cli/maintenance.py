"""Declares the commands that keep an installation healthy: doctor, backups, restores, encryption.

What they do is in doctor.py, plan.py, backup.py and storage.py, which import most of the service.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.common import DataDir, Json, NewDataDir, fail

if TYPE_CHECKING:
    from service.diagnostics.checks import Finding


def doctor(
    data_dir: NewDataDir = Path("var"),
    port: Annotated[int, typer.Option(help="Port that the API will use.", min=0, max=65535)] = 8000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    egress: Annotated[
        bool,
        typer.Option(
            "--egress", help="Watch where the service's processes on this machine connect to."
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(help="With --egress: how long to watch.", min=0, max=86_400)
    ] = 10,
    kubernetes: Annotated[
        str | None,
        typer.Option(help="Check a cluster from a pod: what the chart expects of it, as JSON."),
    ] = None,
) -> None:
    """Report what this machine lacks to run the service, and how to fix it."""
    findings = _findings(data_dir, port, seconds, egress=egress, kubernetes=kubernetes)
    if as_json:
        typer.echo(json.dumps([vars(f) for f in findings]))
    else:
        for finding in findings:
            typer.echo(str(finding))
    if any(f.level == "missing" for f in findings):
        raise typer.Exit(1)


def _findings(
    data_dir: Path, port: int, seconds: float, *, egress: bool, kubernetes: str | None
) -> list[Finding]:
    if kubernetes is not None:
        from service.config import Settings
        from service.diagnostics.kubernetes import Expected, examine_pod

        return asyncio.run(examine_pod(Expected.model_validate_json(kubernetes), Settings()))
    from service.cli.doctor import examine, examine_egress

    return examine_egress(data_dir, seconds) if egress else examine(data_dir, port)


def plan(
    data_dir: NewDataDir = Path("var"),
    gpus: Annotated[
        str | None,
        typer.Option(help="Other GPUs than this machine's, such as 4x24GiB or 24GiB,2x80GiB."),
    ] = None,
    row_tokens: Annotated[
        int, typer.Option(min=64, max=1_000_000, help="Tokens in the longest row of a training.")
    ] = 2048,
    memory: Annotated[
        int | None, typer.Option(min=1, help="Memory of the machine in GiB, if it is another one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print which engines and trainings `up` puts on which GPU, and what fits on them."""
    from service.cli.doctor import machine_plan
    from service.cli.plan import BadGpus, as_text

    try:
        found = machine_plan(data_dir, gpus, row_tokens, memory)
    except BadGpus as e:
        fail(e)
    typer.echo(json.dumps(found) if as_json else as_text(found))
    if found["unplaced"]:
        raise typer.Exit(1)


def rehearse(
    model: Annotated[
        Path, typer.Argument(help="Folder of a base model, such as /models/Qwen3-1.7B.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the report; it must be new.")
    ] = Path("rehearsal"),
    data_dir: NewDataDir = Path("var"),
) -> None:
    """Run what the first jobs on this machine would, and write a report to compare."""
    from service.cli.rehearse import rehearse as run
    from service.models.model_folder import folder_fault

    if (fault := folder_fault(model)) is not None:
        fail(f"{model} is no base model: {fault}")
    if output.exists():
        fail(f"{output} exists: name a new folder with --output")
    report = run(data_dir, model, output, lambda step: typer.echo(f"{step.name}: {step.found}"))
    typer.echo(f"\n{report.as_text()}\nAlso in {output}/rehearsal.md and rehearsal.json.")
    if report.has_failed:
        raise typer.Exit(1)


def replay(
    job: Annotated[str, typer.Argument(help="ID of a job that succeeded.")],
    windows: Annotated[
        int,
        typer.Option(
            min=0, help="Number of windows to draw, besides the one that leads to the adapter."
        ),
    ] = 1,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Compute only the first steps of each window."),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            help="Draw the windows of an earlier replay again, or those of an auditor's seed. "
            "Otherwise the seed is random."
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Compute random parts of a finished training again, and compare them with its records.

    Exits with 5 if they differ.
    """
    from service.cli import replay as commands
    from service.core.storage import StorageError
    from service.jobs.attempt.replay import Choice, NotReplayable

    def tell(line: str) -> None:
        typer.echo(line, err=as_json)

    choice = Choice(count=windows, seed=seed, steps=steps)
    try:
        trained, found = asyncio.run(commands.replay(data_dir, job, choice, tell))
    except (NotReplayable, StorageError, ValueError) as e:
        fail(e)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        for finding in found.findings:
            typer.echo(f"✗ {finding.message}")
        if found.windows:
            typer.echo(f"{commands.coverage(found)}.")
        typer.echo(f"{commands.summary(found)}. It took {commands.time_spent(trained, found)}.")
    if found.outcome == "different":
        raise typer.Exit(5)


def rebuild(
    journal: Annotated[
        str | None,
        typer.Option(help="Journal to restore, if storage has those of several Redis servers."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Restore lost records from storage. Existing records are kept."""
    from service.cli import backup as commands

    _report(commands.rebuild(data_dir, journal))


def gc(
    data_dir: DataDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what is found.")] = False,
    older_than: Annotated[
        int, typer.Option(help="Age in hours. Newer data may belong to unfinished work.", min=0)
    ] = 24,
) -> None:
    """Remove data from storage that no record refers to."""
    from service.cli import storage

    _report(storage.gc(data_dir, dry_run=dry_run, older_than_s=3600 * older_than))


def new_master_key() -> None:
    """Print a new master key, for FINETUNED_ENCRYPTION_KEY_FILE. Keep a copy elsewhere."""
    from service.core.encryption.master import new_key

    typer.echo(new_key())


def encrypt(data_dir: DataDir = None) -> None:
    """Encrypt all stored objects that are not encrypted. Stop the API and workers first."""
    from service.cli import storage

    _report(_echo(storage.encrypt(data_dir)))


def rotate_master_key(data_dir: DataDir = None) -> None:
    """Wrap all data keys with the first master key of the file. No object is rewritten."""
    from service.cli import storage

    _report(_echo(storage.rotate_master_key(data_dir)))


def backup(
    target: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")],
    keep: Annotated[
        int | None,
        typer.Option(help="Number of newest backups to keep. Defaults to all.", min=1),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Back up all records and stored objects while the service runs. Copies only what is new."""
    from service.cli import backup as commands

    _report(commands.backup(data_dir, target, keep))


def backups(
    source: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")],
) -> None:
    """List the backups in a folder or bucket."""
    from service.cli import backup as commands

    _report(commands.backups(source))


def restore(
    source: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")],
    at: Annotated[
        str | None,
        typer.Option(help="Restore the newest backup at or before this time (UTC) or ID."),
    ] = None,
    only_records: Annotated[
        bool,
        typer.Option(
            "--only-records",
            help="Keep the storage, and restore records into an empty Redis. Files and models that "
            "are newer than the backup are registered again.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check that the backup is intact.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Restore a backup into an empty Redis and storage."""
    from service.cli import backup as commands

    if check:
        _report(commands.check(source, at))
    else:
        _report(commands.restore(data_dir, source, at, only_records=only_records))


async def _echo(lines: AsyncIterator[str]) -> tuple[()]:
    """Print lines as they come. Returns no more lines to print."""
    async for line in lines:
        typer.echo(line)
    return ()


def _report(lines: Coroutine[Any, Any, Iterable[str]]) -> None:
    """Run a command, and print its lines or the error that stops it."""
    from service.backup.contents import BackupError
    from service.core.storage import StorageError
    from service.models.catalogue import CatalogueError
    from service.standalone.layout import AlreadyRunning
    from service.standalone.supervisor import StartFailed

    try:
        for line in asyncio.run(lines):
            typer.echo(line)
    except (
        *(AlreadyRunning, BackupError, CatalogueError, OSError, StartFailed),
        *(StorageError, ValueError),
    ) as e:
        fail(e)
