"""The `finetuned admin keys` commands."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from finetuned._flows.admin import KeyRole
from finetuned.cli.admin.arguments import Days, KeyId, ProjectId, Yes, seconds
from finetuned.cli.admin.limits import Amount, amounts, in_words
from finetuned.cli.admin.secret import SecretTo, check_destination, give_secret
from finetuned.cli.failures import WrongUsage
from finetuned.cli.listing import After, Limit, listed
from finetuned.cli.options import App
from finetuned.cli.output import Json, Out, Wide, when
from finetuned.cli.session import client, confirm
from finetuned.cli.tables import Column
from finetuned.types import KeyObject, NewKeyObject

app = App(help="API keys of a project.", no_args_is_help=True)

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


@app.command("list")
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
            Column("models", 5, cut="end"),
            Column("addresses", 6, cut="end"),
        ],
        [
            (
                *(k.id, k.name, k.role, k.redacted_value),
                *(when(k.last_used_at), when(k.expires_at), when(k.created_at)),
                *(", ".join(k.models or ()), ", ".join(k.allowed_ips or ())),
            )
            for k in found
        ],
        wide=wide,
    )


@app.command("show")
def show_key(project_id: ProjectId, key_id: KeyId, as_json: Json = False) -> None:
    """Show a key: what it may do, from where, and until when."""
    out = Out(as_json)
    with client() as server:
        key = server.admin.keys.retrieve(project_id, key_id)
    if out.json:
        out.value(key)
        return
    out.facts(
        [
            ("key", f"{key.name} ({key.id})"),
            ("role", key.role),
            ("models", "all" if key.models is None else ", ".join(key.models)),
            ("addresses", "all" if key.allowed_ips is None else ", ".join(key.allowed_ips)),
            ("limits", in_words(key.limits) or "defaults"),
            ("secret", key.redacted_value),
            ("expires", when(key.expires_at) or "never"),
            *(
                ("old secret", f"{old.redacted_value} until {when(old.expires_at)}")
                for old in key.previous_secrets
            ),
            ("account", _account(key)),
            ("last used", when(key.last_used_at) or "never"),
            ("created", when(key.created_at)),
        ]
    )


@app.command("create")
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
    check_destination(to)
    with client() as server:
        key = server.admin.keys.create(
            project_id,
            name,
            role=role,
            models=model,
            expires_in_seconds=seconds(expires_in_days),
            allowed_ips=allow_ip,
        )
    _give(out, key, to, "created")


@app.command("rotate")
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
    check_destination(to)
    with client() as server:
        key = server.admin.keys.rotate(project_id, key_id, overlap_seconds=overlap_hours * 3600)
    _give(out, key, to, "rotated")


@app.command("update")
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
        "expires_in_seconds": "never" if never_expires else seconds(expires_in_days),
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


@app.command("limit")
def limit_key(
    project_id: ProjectId,
    key_id: KeyId,
    requests_per_minute: Amount = None,
    tokens_per_minute: Amount = None,
    concurrent_requests: Amount = None,
    concurrent_streams: Amount = None,
    as_json: Json = False,
) -> None:
    """Set limits of a key, within those of its project. Omitted limits are unchanged."""
    out = Out(as_json)
    limits = amounts(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent_requests=concurrent_requests,
        concurrent_streams=concurrent_streams,
    )
    with client() as server:
        key = server.admin.keys.limit(project_id, key_id, limits)
    if out.json:
        out.value(key)
    else:
        out.line(f"{key.id}  {in_words(key.limits)}")


@app.command("revoke")
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


def _give(out: Out, key: NewKeyObject, to: str, done: str) -> None:
    shown = key.model_dump(mode="json", exclude={"value"})
    give_secret(out, key.id, key.value, to, done, shown=shown)


def _account(key: KeyObject) -> str | None:
    account_id = key.owner.service_account.id
    return None if account_id == key.id else account_id
