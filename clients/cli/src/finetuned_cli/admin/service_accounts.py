"""The `finetuned admin service-accounts` commands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from finetuned_cli.admin.arguments import Days, ProjectId, seconds
from finetuned_cli.admin.secret import SecretTo, check_destination, give_secret
from finetuned_cli.failures import WrongUsage
from finetuned_cli.nouns import Noun, Table, say
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, plain, when
from finetuned_cli.session import client, given
from finetuned_cli.tables import Column

app = App(
    help="Service accounts of a project: programs that own several keys.", no_args_is_help=True
)
AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT_ID", show_default=False)]
_accounts = Noun(app, "organization.projects.service_accounts", "PROJECT_ID", "ACCOUNT_ID")
_accounts.list(
    "List the service accounts of a project.",
    Table(
        ["id", Column("name", 1, cut="end"), "role", Column("created", 2)],
        lambda a: (a.id, a.name, a.role, when(a.created_at)),
    ),
)


@app.command("create")
def create_account(
    project_id: ProjectId,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    to: SecretTo,
    expires_in_days: Days = None,
    as_json: Json = False,
) -> None:
    """Create a service account and its first key, whose secret is written to --to."""
    out = Out(as_json)
    check_destination(to)
    with client() as server:
        account = server.organization.projects.service_accounts.create(
            project_id, name=name, expires_in_seconds=seconds(expires_in_days)
        )
    shown = plain(account)
    secret = shown["api_key"].pop("value")
    give_secret(out, account.id, secret, to, "created", shown=shown)


@app.command("create-key")
def create_account_key(
    project_id: ProjectId,
    account_id: AccountId,
    to: SecretTo,
    name: Annotated[
        str | None, typer.Option(help="Purpose of the key. Defaults to the account's name.")
    ] = None,
    expires_in_days: Days = None,
    as_json: Json = False,
) -> None:
    """Create another key of a service account. Its secret is written to --to."""
    out = Out(as_json)
    check_destination(to)
    with client() as server:
        key = server.organization.projects.service_accounts.api_keys.create(
            project_id, account_id, name=name, expires_in_seconds=seconds(expires_in_days)
        )
    shown = plain(key)
    give_secret(out, key.id, shown.pop("value"), to, "created", shown=shown)


@app.command("update")
def update_account(
    project_id: ProjectId,
    account_id: AccountId,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    role: Annotated[
        Literal["owner", "member"] | None,
        typer.Option(help="New role: its keys become project_admin (owner) or member."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change the name or role of a service account. A new role is that of all of its keys."""
    changes: dict[str, Any] = given(name=name, role=role)
    if not changes:
        raise WrongUsage("No change was given.", next_step="See `--help` for the options.")
    with client() as server:
        accounts = server.organization.projects.service_accounts
        account = accounts.update(project_id, account_id, **changes)
    say(account, f"{account.id}  {account.name}  {account.role}", Out(as_json))


_accounts.delete("Delete a service account and revoke its keys.", "Delete {} and revoke its keys?")
