"""The `finetuned admin admin-keys` commands, which use OpenAI's SDK."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from finetuned.cli.admin.arguments import Days, KeyId, Yes, seconds
from finetuned.cli.admin.secret import SecretTo, check_destination, give_secret
from finetuned.cli.failures import openai_errors
from finetuned.cli.listing import After, Limit, all_pages, listed
from finetuned.cli.options import App
from finetuned.cli.output import Json, Out, Wide, plain, when
from finetuned.cli.session import client, confirm, given, organization
from finetuned.cli.tables import Column

if TYPE_CHECKING:
    from openai.types.admin.organization import AdminAPIKey

app = App(help="Keys of all projects that have the role admin.", no_args_is_help=True)


@app.command("list")
def list_admin_keys(
    limit: Limit = None, after: After = None, wide: Wide = False, as_json: Json = False
) -> None:
    """List the keys of all projects that have the role admin, without their secrets."""
    out = Out(as_json)
    with client() as server, openai_errors():
        pages = partial(all_pages, organization(server).admin_api_keys.list)
        found: list[AdminAPIKey] = listed(pages, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    columns: list[str | Column] = [
        *("id", Column("name", 1, cut="end"), Column("key", 3)),
        *(Column("used", 2), Column("expires", 4), Column("created", 5)),
    ]
    rows = [
        (
            *(key.id, key.name, key.redacted_value),
            *(when(key.last_used_at), when(key.expires_at), when(key.created_at)),
        )
        for key in found
    ]
    out.table(columns, rows, wide=wide)


@app.command("create")
def create_admin_key(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    to: SecretTo,
    expires_in_days: Days = None,
    as_json: Json = False,
) -> None:
    """Create a key with the role admin in the project of your key. Its secret goes to --to."""
    out = Out(as_json)
    check_destination(to)
    with client() as server, openai_errors():
        keys = organization(server, retries=0).admin_api_keys
        key = keys.create(name=name, **given(expires_in_seconds=seconds(expires_in_days)))
    shown = plain(key)
    give_secret(out, key.id, shown.pop("value"), to, "created", shown=shown)


@app.command("revoke")
def revoke_admin_key(key_id: KeyId, yes: Yes = False, as_json: Json = False) -> None:
    """Revoke a key with the role admin, of any project."""
    out = Out(as_json)
    confirm(f"Revoke {key_id}?", yes=yes)
    with client() as server, openai_errors():
        gone = organization(server).admin_api_keys.delete(key_id)
    if out.json:
        out.value(gone)
    else:
        out.line(gone.id)
