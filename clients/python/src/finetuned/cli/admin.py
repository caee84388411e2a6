"""The `finetuned admin` commands for projects, keys and the audit log."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from finetuned import config
from finetuned._flows.admin import KeyRole
from finetuned.cli.failures import WrongUsage
from finetuned.cli.listing import After, Limit, listed
from finetuned.cli.options import App
from finetuned.cli.output import Json, Out, Wide, when
from finetuned.cli.session import client, confirm
from finetuned.cli.tables import Column
from finetuned.cli.usage import start_of
from finetuned.types import AuditLogObject, Limits, NewKeyObject, ProjectLimits, ProjectObject

app = App(
    help="Manage projects and keys, and read the audit log. Requires a key with the role admin, "
    "project_admin or, for the audit log, auditor.",
    no_args_is_help=True,
)
projects = App(help="Projects of this installation.", no_args_is_help=True)
keys = App(help="API keys of a project.", no_args_is_help=True)
app.add_typer(projects, name="projects")
app.add_typer(keys, name="keys")

ProjectId = Annotated[str, typer.Argument(metavar="PROJECT_ID", show_default=False)]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", show_default=False)]
Models = Annotated[
    list[str] | None,
    typer.Option(
        help="The only model that a key with the role inference may use: the name of a base model, "
        "a trained model or an alias. Repeat it for several.",
        metavar="NAME",
    ),
]
AllowedIps = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-ip",
        help="The only address or CIDR range that requests with the key may come from. Repeat it "
        "for several.",
        metavar="CIDR",
    ),
]
Days = Annotated[
    int | None, typer.Option(help="Days until the key expires.", min=1, metavar="DAYS")
]
SecretTo = Annotated[
    str,
    typer.Option(
        help="Destination of the secret: a new file (mode 0600), or - for standard output, to "
        "pipe it. The secret is shown only once.",
        metavar="PATH|-",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation.")]
Amount = Annotated[
    str | None, typer.Option(help="A number, 'unlimited', or 'default'.", metavar="N")
]


@projects.command("list")
def list_projects(
    limit: Limit = None, after: After = None, wide: Wide = False, as_json: Json = False
) -> None:
    """List all projects, newest first."""
    out = Out(as_json)
    with client() as server:
        found = listed(server.admin.projects.list, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    out.table(
        ["id", "name", Column("limits", 3, cut="end"), Column("created", 2)],
        [(p.id, p.name, _limits(p.limits), when(p.created_at)) for p in found],
        wide=wide,
    )


@projects.command("create")
def create_project(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    as_json: Json = False,
) -> None:
    """Create a project. Project names are never reused."""
    out = Out(as_json)
    with client() as server:
        project = server.admin.projects.create(name)
    if out.json:
        out.value(project)
    else:
        out.line(project.id)


@projects.command("limit")
def limit_project(
    project_id: ProjectId,
    requests_per_minute: Amount = None,
    tokens_per_minute: Amount = None,
    concurrent_requests: Amount = None,
    concurrent_streams: Amount = None,
    storage_bytes: Amount = None,
    as_json: Json = False,
) -> None:
    """Set limits and the storage quota. Omitted limits are unchanged."""
    out = Out(as_json)
    limits = {
        name: _amount(value)
        for name, value in {
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "concurrent_requests": concurrent_requests,
            "concurrent_streams": concurrent_streams,
            "storage_bytes": storage_bytes,
        }.items()
        if value is not None
    }
    if not limits:
        raise WrongUsage("No limit was given.", next_step="See `--help` for the available limits.")
    with client() as server:
        project = server.admin.projects.limit(project_id, limits)
    if out.json:
        out.value(project)
    else:
        out.line(f"{project.id}  {_limits(project.limits)}")


@projects.command("archive")
def archive_project(project_id: ProjectId, yes: Yes = False, as_json: Json = False) -> None:
    """Archive a project for good: its keys are refused. Its data is kept."""
    confirm(f"Archive the project {project_id}? Its keys are refused for good.", yes=yes)
    with client() as server:
        _show_status(server.admin.projects.archive(project_id), Out(as_json))


@projects.command("delete")
def delete_project(project_id: ProjectId, yes: Yes = False, as_json: Json = False) -> None:
    """Delete a project with all that it has. This cannot be undone."""
    confirm(f"Delete the project {project_id} with all that it has?", yes=yes)
    with client() as server:
        _show_status(server.admin.projects.delete(project_id), Out(as_json))


def _show_status(project: ProjectObject, out: Out) -> None:
    if out.json:
        out.value(project)
    else:
        out.line(f"{project.id}  {project.status}")


@keys.command("list")
def list_keys(
    project_id: ProjectId,
    limit: Limit = None,
    after: After = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List a project's keys, without their secrets."""
    out = Out(as_json)
    with client() as server:
        keys_of = partial(server.admin.keys.list, project_id)
        found = listed(keys_of, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    out.table(
        [
            "id",
            Column("name", 1, cut="end"),
            "role",
            "key",
            Column("used", 2),
            Column("expires", 3),
            Column("created", 4),
        ],
        [
            (
                *(k.id, k.name, k.role, k.redacted_value),
                *(when(k.last_used_at), when(k.expires_at), when(k.created_at)),
            )
            for k in found
        ],
        wide=wide,
    )


@keys.command("create")
def create_key(
    project_id: ProjectId,
    to: SecretTo,
    name: Annotated[str, typer.Option(help="Purpose of the key.")] = "key",
    role: Annotated[KeyRole, typer.Option(help="Role of the key.")] = "member",
    model: Models = None,
    expires_in_days: Days = None,
    allow_ip: AllowedIps = None,
    as_json: Json = False,
) -> None:
    """Create a key. Its secret is written to --to and nowhere else."""
    out = Out(as_json)
    _check_destination(to)
    with client() as server:
        key = server.admin.keys.create(
            project_id,
            name,
            role=role,
            models=model,
            expires_in_seconds=_seconds(expires_in_days),
            allowed_ips=allow_ip,
        )
    _give_secret(out, key, to, "created")


@keys.command("rotate")
def rotate_key(
    project_id: ProjectId,
    key_id: KeyId,
    to: SecretTo,
    overlap_hours: Annotated[
        int,
        typer.Option(
            help="Hours for which the secrets before it stay valid; 0 ends them at once.",
            min=0,
            max=720,
            metavar="HOURS",
        ),
    ] = 24,
    as_json: Json = False,
) -> None:
    """Replace the secret of a key. The new one is written to --to and nowhere else."""
    out = Out(as_json)
    _check_destination(to)
    with client() as server:
        key = server.admin.keys.rotate(project_id, key_id, overlap_seconds=overlap_hours * 3600)
    _give_secret(out, key, to, "rotated")


@keys.command("update")
def update_key(
    project_id: ProjectId,
    key_id: KeyId,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    role: Annotated[KeyRole | None, typer.Option(help="New role.")] = None,
    model: Models = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="Allow all models.")] = False,
    expires_in_days: Days = None,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="No expiry.")] = False,
    allow_ip: AllowedIps = None,
    all_ips: Annotated[bool, typer.Option("--all-ips", help="Allow all addresses.")] = False,
    as_json: Json = False,
) -> None:
    """Change what a key is called and may do. Omitted options are unchanged."""
    out = Out(as_json)
    changes: dict[str, Any] = {
        "name": name,
        "role": role,
        "models": "all" if all_models else model,
        "expires_in_seconds": "never" if never_expires else _seconds(expires_in_days),
        "allowed_ips": "all" if all_ips else allow_ip,
    }
    if not any(changes.values()):
        raise WrongUsage("No change was given.", next_step="See `--help` for the options.")
    with client() as server:
        key = server.admin.keys.update(project_id, key_id, **changes)
    if out.json:
        out.value(key)
    else:
        out.line(f"{key.id}  {key.name}  {key.role}")


@keys.command("revoke")
def revoke_key(
    project_id: ProjectId,
    key_id: KeyId,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Revoke a key. It stops working everywhere within seconds."""
    out = Out(as_json)
    confirm(f"Revoke {key_id}?", yes=yes)
    with client() as server:
        gone = server.admin.keys.revoke(project_id, key_id)
    if out.json:
        out.value(gone)
    else:
        out.line(gone.id)


def _check_destination(to: str) -> None:
    """Raise WrongUsage if a secret cannot be written there."""
    if to == "-" and sys.stdout.isatty():
        raise WrongUsage(
            "Secrets are not printed to a terminal.", next_step="Use a file: --to api-key."
        )
    path = Path(to)
    if to != "-" and (path.exists() or not path.parent.is_dir()):
        raise WrongUsage(
            f"{path} already exists, or its folder does not.", next_step="Choose a new file."
        )


def _give_secret(out: Out, key: NewKeyObject, to: str, done: str) -> None:
    if to == "-":
        out.raw(f"{key.value}\n")
        out.say(f"{done} {key.id}")
        return
    path = Path(to)
    config.write_private(path, f"{key.value}\n")
    if out.json:
        out.value(_without_secret(key))
    else:
        out.line(key.id)
        out.say(f"The secret was written to {path}.")


def _seconds(days: int | None) -> int | None:
    return None if days is None else days * 24 * 3600


def _amount(text: str) -> int | str | None:
    if text == "default":
        return None
    if text == "unlimited":
        return text
    if not text.isdigit():
        raise WrongUsage(
            f"'{text}' is not a valid limit.", next_step="Use a number, 'unlimited' or 'default'."
        )
    return int(text)


def _limits(limits: Limits | ProjectLimits) -> str:
    named = limits.model_dump(exclude_none=True)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in named.items())


def _without_secret(key: NewKeyObject) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"value"})


@app.command("audit")
def list_audit_logs(
    since: Annotated[str, typer.Option(help="Start of the period: 90m, 12h or 7d ago.")] = "7d",
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
    """Show who did what, newest first. Admins and auditors see all projects."""
    out = Out(as_json)
    with client() as server:
        logs = partial(
            server.admin.audit_logs.list,
            since=start_of(since),
            event_types=event or (),
            project_ids=project or (),
            actor_ids=key or (),
            resource_ids=resource or (),
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


def _actor(entry: AuditLogObject) -> str:
    if entry.actor.api_key is not None:
        return entry.actor.api_key.id
    session = entry.actor.session
    return (session and session.user.id) or "unknown"
