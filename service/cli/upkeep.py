"""Commands that keep records and storage: backups, restores, encryption and cleaning up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any

import typer

from service.cli.common import DataDir, fail


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
    from service.cli import operator
    from service.core.storage import StorageError

    try:
        for line in asyncio.run(
            operator.gc(data_dir, dry_run=dry_run, older_than_s=3600 * older_than)
        ):
            typer.echo(line)
    except (*operator.CHORE_ERRORS, StorageError) as e:
        fail(e)


def new_master_key() -> None:
    """Print a new master key, for FINETUNED_ENCRYPTION_KEY_FILE. Keep a copy elsewhere."""
    from service.core.encryption.master import new_key

    typer.echo(new_key())


def encrypt(data_dir: DataDir = None) -> None:
    """Encrypt all stored objects that are not encrypted. Stop the API and workers first."""
    from service.cli import operator

    _report(_echoed(operator.encrypt(data_dir)))


def rotate_master_key(data_dir: DataDir = None) -> None:
    """Wrap all data keys with the first master key of the file. No object is rewritten."""
    from service.cli import operator

    _report(_echoed(operator.rotate(data_dir)))


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


async def _echoed(lines: AsyncIterator[str]) -> list[str]:
    """Print lines as they come. Returns none that are left to print."""
    async for line in lines:
        typer.echo(line)
    return []


def _report(lines: Coroutine[Any, Any, list[str]]) -> None:
    from service.backup.contents import BackupError
    from service.cli import operator
    from service.core.storage import StorageError
    from service.standalone.layout import AlreadyRunning
    from service.standalone.supervisor import StartFailed

    try:
        for line in asyncio.run(lines):
            typer.echo(line)
    except (*operator.CHORE_ERRORS, AlreadyRunning, BackupError, StartFailed, StorageError) as e:
        fail(e)
