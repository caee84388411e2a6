"""The `finetuned admin audit` command."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from finetuned.types import AuditLog

from finetuned_cli.listing import After, Limit, listed
from finetuned_cli.output import Json, Out, Wide, when
from finetuned_cli.session import client
from finetuned_cli.tables import Column
from finetuned_cli.usage import start_of


def list_audit_logs(
    since: Annotated[
        str, typer.Option(help="Start of the period: 90m, 12h or 7d ago, or a date.")
    ] = "7d",
    until: Annotated[
        str | None, typer.Option(help="End of the period, in the same form. Defaults to now.")
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(help="Only this type of event, such as file.deleted; repeatable."),
    ] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="Only this project; repeatable.", metavar="PROJECT_ID")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Only what this key did; repeatable.", metavar="KEY_ID")
    ] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option("--object", help="Only what concerns this object; repeatable.", metavar="ID"),
    ] = None,
    limit: Limit = 100,
    after: After = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Show who did what, newest first. Admins and auditors see all projects.

    On the server, `finetuned-server audit verify` shows whether an entry was changed or removed.
    """
    out = Out(as_json)
    with client() as server:
        logs = partial(
            server.organization.audit_logs.list,
            effective_at={"gte": start_of(since), **({"lt": start_of(until)} if until else {})},
            event_types=event,
            project_ids=project,
            actor_ids=key,
            resource_ids=resource,
        )
        found = listed(logs, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    out.table(
        [
            Column("time", 1),
            "event",
            Column("by", 2),
            Column("from", 3),
            Column("object", 2, cut="end"),
            "result",
        ],
        [
            (
                when(entry.effective_at),
                entry.type,
                _actor(entry),
                entry.request.ip_address or "",
                ", ".join(entry.objects[:1]),
                str(entry.result.status or entry.result.outcome),
            )
            for entry in found
        ],
        wide=wide,
    )


def _actor(entry: AuditLog) -> str:
    if entry.actor.api_key is not None:
        return entry.actor.api_key.id
    session = entry.actor.session
    return (session and session.user.id) or "unknown"
