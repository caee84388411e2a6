"""`finetuned-server audit`: verification and export of the audit log, and its public key."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from service import __version__
from service.audit import export as exporting
from service.audit.sealer import HEAD
from service.audit.search import Filters
from service.audit.verify import Findings, KeyMissing
from service.audit.verify import verify as verify_log
from service.cli.common import App, DataDir, fail, public_key, time_text
from service.cli.connections import CommandDetails, open_redis, open_storage, record
from service.config import Settings
from service.core.encryption.master import MasterKeyError
from service.core.encryption.signing import PublicKey, SigningKeyError
from service.core.redis import Client, reply, text
from service.core.storage import Storage, StorageError
from service.web.audit_events import AuditEvent

app = App(help="The audit log.")
T = TypeVar("T")
_DAMAGED = 5
_NO_KEY = 3
_HEADER = re.compile(r"(?P<name>[A-Za-z0-9-]+)[=:]\s*(?P<value>.+)")


@app.command("key")
def print_key(data_dir: DataDir = None) -> None:
    """Print the public key that verifies the log as PEM, for 'audit verify --key'."""
    try:
        typer.echo(public_key(data_dir).pem, nl=False)
    except SigningKeyError as e:
        fail(str(e), code=_NO_KEY)


@app.command()
def verify(
    keys: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            help="Public key as PEM. Repeat it if the key was changed. Defaults to the key of this "
            "installation.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            help="A checkpoint that was kept elsewhere, which the log must contain; repeatable.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    kept_days: Annotated[
        int | None,
        typer.Option(
            help="How many days entries had to be kept, at least. Defaults to what the log's own "
            "checkpoints say; for those of version 0.2.0, to FINETUNED_AUDIT_KEPT_DAYS.",
            min=1,
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Check that no sealed entry of the audit log was changed, deleted, added or moved.

    Exits with 5 if one was, with 3 if the key is missing that verifies or decrypts the log, and
    with 1 if Redis or storage cannot be read. The newest entries are not sealed yet.
    """

    async def check(storage: Storage, redis: Client) -> Findings:
        given = [PublicKey.from_pem(path.read_bytes()) for path in keys or ()]
        known = [path.read_text("utf-8") for path in checkpoints or ()]
        if (head := await reply(redis.get(HEAD))) is not None:
            known.append(text(head))
        return await verify_log(
            storage,
            given or [_own_key(data_dir)],
            known,
            least_days=kept_days or 0,
            unstated_days=kept_days or Settings().audit_kept_days,
        )

    try:
        found = _run(data_dir, check)
    except KeyMissing as e:
        fail(f"the audit log was not verified: {e}", code=_NO_KEY)
    for problem in found.problems:
        typer.echo(problem, err=True)
    for note in found.notes:
        typer.echo(note)
    if found.problems:
        fail("the audit log was changed, or a part of it was lost", code=_DAMAGED)
    if found.newest is None:
        typer.echo("the audit log has no sealed entries yet")
        return
    until = time_text(found.newest.time)
    typer.echo(
        f"the audit log is whole: {found.entries:,} entries until {until}, of which "
        f"{found.deleted:,} were deleted because of their age"
    )


@app.command()
def export(
    since: Annotated[
        datetime | None, typer.Option(help="Only entries at this time or later (UTC).")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="Only entries before it (UTC).")] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="Only this project; repeatable.", metavar="PROJECT_ID")
    ] = None,
    form: Annotated[
        Literal["jsonl", "otlp"], typer.Option("--format", help="JSON lines, or logs of OTLP.")
    ] = "jsonl",
    endpoint: Annotated[
        str | None,
        typer.Option(help="URL of the collector, without /v1/logs. Required for otlp."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="Header for the collector, as NAME=VALUE; repeatable."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write the entries to standard output as JSON lines, or send them to an OTLP collector."""
    if (form == "otlp") != (endpoint is not None):
        fail("--format otlp and --endpoint belong together")

    async def write(storage: Storage, redis: Client) -> int:
        filters = Filters(
            since=since.replace(tzinfo=UTC).timestamp() if since else 0.0,
            until=until.replace(tzinfo=UTC).timestamp() if until else float("inf"),
            project_ids=frozenset(project) if project else None,
        )
        await record(redis, AuditEvent.AUDIT_LOGS_READ, CommandDetails())
        found = exporting.entries(storage, redis, filters)
        if endpoint is not None:
            try:
                return await exporting.send(found, endpoint, _headers(header or []), __version__)
            except exporting.ExportRejected as e:
                raise ValueError(str(e)) from e
        count = 0
        async for entry in found:
            sys.stdout.buffer.write(entry.encode() + b"\n")
            count += 1
        sys.stdout.flush()
        return count

    typer.echo(f"{_run(data_dir, write):,} entries", err=True)


def _own_key(data_dir: Path | None) -> PublicKey:
    """The public key of this installation. Raises KeyMissing."""
    try:
        return public_key(data_dir)
    except SigningKeyError as e:
        raise KeyMissing(f"{e}; or pass the public key with --key") from e


def _headers(texts: list[str]) -> dict[str, str]:
    found = {}
    for header in texts:
        if (match := _HEADER.fullmatch(header)) is None:
            raise ValueError(f"write the header '{header.partition('=')[0]}' as NAME=VALUE")
        found[match["name"]] = match["value"]
    return found


def _run(data_dir: Path | None, work: Callable[[Storage, Client], Awaitable[T]]) -> T:
    async def run() -> T:
        storage = open_storage(data_dir)
        async with open_redis(data_dir) as redis:
            return await work(storage, redis)

    try:
        return asyncio.run(run())
    except (ValueError, OSError, StorageError) as e:
        fail(e, code=_NO_KEY if isinstance(e.__cause__, MasterKeyError) else 1)
