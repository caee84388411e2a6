"""The `finetuned webhooks` commands: endpoints that receive events."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from finetuned.types import WebhookEndpoint

from finetuned_cli.admin.secret import SecretTo, check_destination, give_secret
from finetuned_cli.failures import WrongUsage
from finetuned_cli.nouns import Noun, Table, say
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, plain, when
from finetuned_cli.session import client, given
from finetuned_cli.tables import Column

app = App(help="Endpoints that receive events.", no_args_is_help=True)
_endpoints = Noun(app, "webhook_endpoints", "WEBHOOK_ID")
Events = Annotated[
    list[str] | None,
    typer.Option("--event", help="Type of event, see `event-types`; repeatable.", metavar="TYPE"),
]
Id = Annotated[str, typer.Argument(metavar="WEBHOOK_ID", show_default=False)]


@app.command()
def create(
    url: Annotated[str, typer.Argument(metavar="URL", show_default=False)],
    to: SecretTo,
    event: Events = None,
    name: Annotated[str | None, typer.Option(help="Name of the endpoint.")] = None,
    as_json: Json = False,
) -> None:
    """Create an endpoint. The secret with which events are signed is written to --to."""
    out = Out(as_json)
    check_destination(to)
    if not event:
        raise WrongUsage("No event was given.", next_step="See `finetuned webhooks event-types`.")
    with client() as server:
        wanted: Any = {"event_types": event, "name": name or url}
        made = server.webhook_endpoints.create(url=url, **wanted)
    shown = plain(made)
    give_secret(out, made.id, shown.pop("signing_secret"), to, "created", shown=shown)


_endpoints.list(
    "List the project's endpoints, newest first.",
    Table(
        ["id", "status", Column("name", 2, cut="end"), Column("url", 1), Column("events", 3)],
        lambda e: (e.id, e.status, e.name, e.url, len(e.event_types)),
        "no webhooks yet: `finetuned webhooks create URL --event TYPE --to PATH`",
    ),
)


def _facts(found: WebhookEndpoint) -> list[tuple[str, object]]:
    return [
        *(("id", found.id), ("name", found.name), ("url", found.url), ("status", found.status)),
        *(("events", ", ".join(found.event_types)), ("secret", found.signing_secret_hint)),
        *(("created", when(found.created_at)), ("changed", when(found.updated_at))),
    ]


_endpoints.show("Show an endpoint.", _facts)


@app.command()
def update(
    webhook_id: Id,
    url: Annotated[str | None, typer.Option(help="New address.")] = None,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    event: Events = None,
    as_json: Json = False,
) -> None:
    """Change an endpoint. Omitted options are unchanged."""
    changes: Any = given(url=url, name=name, event_types=event or None)
    if not changes:
        raise WrongUsage("No change was given.", next_step="See `--help` for the options.")
    with client() as server:
        changed = server.webhook_endpoints.update(webhook_id, **changes)
    say(changed, f"{changed.id}  {changed.status}", Out(as_json))


@app.command("rotate-secret")
def rotate_secret(webhook_id: Id, to: SecretTo, as_json: Json = False) -> None:
    """Replace the secret of an endpoint. The new one is written to --to."""
    out = Out(as_json)
    check_destination(to)
    with client() as server:
        made = server.webhook_endpoints.rotate_secret(webhook_id)
    shown = plain(made)
    give_secret(out, made.id, shown.pop("signing_secret"), to, "rotated", shown=shown)


_endpoints.delete("Delete an endpoint. It gets no more events.", "Delete {}?")


@app.command("test")
def send_test(
    webhook_id: Id,
    event: Annotated[str, typer.Option("--event", help="Type of the event.", metavar="TYPE")],
    as_json: Json = False,
) -> None:
    """Send an example of an event to an endpoint, and show its answer."""
    with client() as server:
        kind: Any = event
        found = server.webhook_endpoints.test(webhook_id, event_type=kind)
    say(found, f"{found.webhook_endpoint_id} answered with {found.status_code}", Out(as_json))


_endpoints.list(
    "List the latest deliveries to an endpoint, newest first.",
    Table(
        ["id", "event", "outcome", Column("answer", 1), Column("created", 2)],
        lambda d: (d.id, d.event_type, d.outcome, d.response_status, when(d.created_at)),
        "nothing was sent yet",
    ),
    name="deliveries",
    method="deliveries",
    within=True,
)


@app.command("event-types")
def event_types(as_json: Json = False) -> None:
    """List the types of events."""
    out = Out(as_json)
    with client() as server:
        found = server.webhook_event_types.list()
    if out.json:
        out.value(found)
        return
    for one in found.data:
        out.line(one)
