"""The `finetuned receipts` commands: what deletions removed, signed by the server."""

from __future__ import annotations

from typing import Annotated

import typer

from finetuned.cli.listing import After, Limit, listed
from finetuned.cli.options import App
from finetuned.cli.output import Json, Out, Wide, when
from finetuned.cli.session import client

app = App(help="Receipts of deleted files and models.", no_args_is_help=True)


@app.command("list")
def list_receipts(
    of: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Deleted object whose receipts to list: a file, for example."
        ),
    ] = None,
    limit: Limit = None,
    after: After = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the receipts of what was deleted and of what expired, newest first."""
    out = Out(as_json)
    with client() as server:
        found = listed(server.erasure_receipts.list, out, limit=limit, after=after, subject_id=of)
    if out.json:
        out.value(found)
        return
    out.table(
        ["id", "status", "erased", "objects", "when"],
        [
            (r.id, r.status, r.subject_id, f"{len(r.objects):,}", when(r.requested_at))
            for r in found
        ],
        empty="nothing was deleted yet",
        wide=wide,
    )


@app.command()
def show(
    receipt_id: Annotated[str, typer.Argument(metavar="RECEIPT_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show a receipt. Save it with --json; `finetuned-server erasure verify` checks it later."""
    out = Out(as_json)
    with client() as server:
        found = server.erasure_receipts.retrieve(receipt_id)
    if out.json:
        out.value(found)
        return
    out.line(f"{found.subject} {found.subject_id}: {found.status}")
    for one in found.objects:
        out.line(f"{one.sha256}  {one.bytes:>14,}  {one.key}")
