"""The `finetuned admin admin-keys` commands."""

from __future__ import annotations

from typing import Annotated

import typer

from finetuned_cli.admin.arguments import Days, seconds
from finetuned_cli.admin.secret import SecretTo, check_destination, give_secret
from finetuned_cli.nouns import Noun, Table
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, plain, when
from finetuned_cli.session import client
from finetuned_cli.tables import Column

app = App(help="Keys of all projects that have the role admin.", no_args_is_help=True)
_keys = Noun(app, "organization.admin_api_keys", "KEY_ID")
_keys.list(
    "List the keys of all projects that have the role admin, without their secrets.",
    Table(
        [
            *("id", Column("name", 1, cut="end"), Column("key", 3)),
            *(Column("used", 2), Column("expires", 4), Column("created", 5)),
        ],
        lambda key: (
            *(key.id, key.name, key.redacted_value),
            *(when(key.last_used_at), when(key.expires_at), when(key.created_at)),
        ),
    ),
)


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
    with client() as server:
        keys = server.organization.admin_api_keys
        key = keys.create(name=name, expires_in_seconds=seconds(expires_in_days))
    shown = plain(key)
    give_secret(out, key.id, shown.pop("value"), to, "created", shown=shown)


_keys.delete("Revoke a key with the role admin, of any project.", "Revoke {}?", name="revoke")
