"""The `finetuned admin service-accounts` commands, which use OpenAI's SDK."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from finetuned.cli.admin.arguments import Days, ProjectId, Yes, seconds
from finetuned.cli.admin.secret import SecretTo, check_destination, give_secret
from finetuned.cli.failures import WrongUsage, openai_errors
from finetuned.cli.listing import After, Limit, all_pages, listed
from finetuned.cli.options import App
from finetuned.cli.output import Json, Out, Wide, plain, when
from finetuned.cli.session import client, confirm, given, organization
from finetuned.cli.tables import Column

if TYPE_CHECKING:
    from openai.types.admin.organization.projects import ProjectServiceAccount

app = App(
    help="Service accounts of a project: programs that own several keys.", no_args_is_help=True
)
AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT_ID", show_default=False)]


@app.command("list")
def list_accounts(
    project_id: ProjectId,
    limit: Limit = None,
    after: After = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the service accounts of a project."""
    out = Out(as_json)
    with client() as server, openai_errors():
        accounts = organization(server).projects.service_accounts
        pages = partial(all_pages, accounts.list, project_id)
        found: list[ProjectServiceAccount] = listed(pages, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    out.table(
        ["id", Column("name", 1, cut="end"), "role", Column("created", 2)],
        [(a.id, a.name, a.role, when(a.created_at)) for a in found],
        wide=wide,
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
    with client() as server, openai_errors():
        accounts = organization(server, retries=0).projects.service_accounts
        account = accounts.create(
            project_id, name=name, **given(expires_in_seconds=seconds(expires_in_days))
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
    with client() as server, openai_errors():
        keys = organization(server, retries=0).projects.service_accounts.api_keys
        options = given(name=name, expires_in_seconds=seconds(expires_in_days))
        key = keys.create(account_id, project_id=project_id, **options)
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
    out = Out(as_json)
    changes: dict[str, Any] = given(name=name, role=role)
    if not changes:
        raise WrongUsage("No change was given.", next_step="See `--help` for the options.")
    with client() as server, openai_errors():
        accounts = organization(server).projects.service_accounts
        account = accounts.update(account_id, project_id=project_id, **changes)
    if out.json:
        out.value(account)
    else:
        out.line(f"{account.id}  {account.name}  {account.role}")


@app.command("delete")
def delete_account(
    project_id: ProjectId, account_id: AccountId, yes: Yes = False, as_json: Json = False
) -> None:
    """Delete a service account and revoke its keys."""
    out = Out(as_json)
    confirm(f"Delete {account_id} and revoke its keys?", yes=yes)
    with client() as server, openai_errors():
        accounts = organization(server).projects.service_accounts
        gone = accounts.delete(account_id, project_id=project_id)
    if out.json:
        out.value(gone)
    else:
        out.line(gone.id)
