"""The `finetuned admin keys` commands."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from finetuned.types import ApiKey, CreatedApiKey

from finetuned_cli.admin.arguments import Days, KeyId, ProjectId, seconds
from finetuned_cli.admin.limits import Amount, amounts, in_words
from finetuned_cli.admin.secret import SecretTo, check_destination, give_secret
from finetuned_cli.failures import WrongUsage
from finetuned_cli.nouns import Noun, Table, say
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, when
from finetuned_cli.session import client, given
from finetuned_cli.tables import Column

app = App(help="API keys of a project.", no_args_is_help=True)
_keys = Noun(app, "organization.projects.api_keys", "PROJECT_ID", "KEY_ID")
KeyRole = Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]

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


_keys.list(
    "List a project's keys, without their secrets.",
    Table(
        [
            *("id", Column("name", 1, cut="end"), "role", "key"),
            *(Column("used", 2), Column("expires", 3), Column("created", 4)),
            *(Column("models", 5, cut="end"), Column("addresses", 6, cut="end")),
        ],
        lambda k: (
            *(k.id, k.name, k.role, k.redacted_value),
            *(when(k.last_used_at), when(k.expires_at), when(k.created_at)),
            *(", ".join(k.models or ()), ", ".join(k.allowed_ips or ())),
        ),
    ),
)


def _facts(key: ApiKey) -> list[tuple[str, object]]:
    return [
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


_keys.show("Show a key: what it may do, from where, and until when.", _facts)


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
        key = server.organization.projects.api_keys.create(
            project_id,
            name=name,
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
        key = server.organization.projects.api_keys.rotate(
            project_id, key_id, overlap_seconds=overlap_hours * 3600
        )
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
    changes = given(
        name=name,
        role=role,
        models=model,
        expires_in_seconds=seconds(expires_in_days),
        allowed_ips=allow_ip,
    )
    removed = {"models": all_models, "expires_in_seconds": never_expires, "allowed_ips": all_ips}
    changes |= {name: None for name, is_removed in removed.items() if is_removed}
    if not changes:
        raise WrongUsage("No change was given.", next_step="See `--help` for the options.")
    with client() as server:
        key = server.organization.projects.api_keys.update(project_id, key_id, **changes)
    say(key, f"{key.id}  {key.name}  {key.role}", out)


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
        key = server.organization.projects.api_keys.update(project_id, key_id, limits=limits)
    say(key, f"{key.id}  {in_words(key.limits)}", out)


_keys.delete(
    "Revoke a key. It stops working everywhere within seconds.", "Revoke {}?", name="revoke"
)


def _give(out: Out, key: CreatedApiKey, to: str, done: str) -> None:
    shown = key.model_dump(mode="json", exclude={"value"})
    give_secret(out, key.id, key.value, to, done, shown=shown)


def _account(key: ApiKey) -> str | None:
    account_id = key.owner.service_account.id
    return None if account_id == key.id else account_id
