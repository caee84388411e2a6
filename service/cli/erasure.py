"""`finetuned-server erasure`: the public key of receipts, and their verification."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.audit.stored_log import earlier_keys
from service.cli.common import App, DataDir, fail, public_key
from service.cli.connections import open_storage
from service.core.encryption.signing import PublicKey
from service.core.storage import StorageError
from service.erasure import receipts

app = App(help="Receipts of erasures.")


@app.command("key")
def print_key(data_dir: DataDir = None) -> None:
    """Print the public key of this installation as PEM, for 'erasure verify --key'."""
    try:
        typer.echo(public_key(data_dir).pem, nl=False)
    except (ValueError, OSError) as e:
        fail(e)


@app.command()
def verify(
    receipt: Annotated[
        Path, typer.Argument(help="A receipt, as the API returns it.", exists=True, dir_okay=False)
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            help="Public key as PEM. Defaults to the key of this installation.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Check that this installation signed a receipt, and that nobody has changed it since.

    Exits with 5 if not. It needs no running service.
    """
    try:
        found = json.loads(receipt.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is not a JSON object")  # noqa: TRY004 - for the handler below
    except ValueError as e:
        fail(f"{receipt} is not a receipt: {e}")
    try:
        if key is not None:
            receipts.verify(found, PublicKey.from_pem(key.read_bytes()))
        else:
            receipts.verify(found, *asyncio.run(_own_keys(data_dir)))
    except receipts.NotVerified as e:
        fail(f"{receipt} is not valid: {e}", code=5)
    except (ValueError, OSError) as e:
        fail(e)
    typer.echo(_summary(found))


def _summary(receipt: dict[str, Any]) -> str:
    size = sum(found["bytes"] for found in receipt["objects"])
    is_kept = (receipt.get("rewrite") or {}).get("append_only_file") == "not_permitted"
    kept = "; Redis did not permit rewriting its append-only file" if is_kept else ""
    return (
        f"{receipt['id']} is valid: the {receipt['subject']} {receipt['subject_id']} was erased, "
        f"{len(receipt['objects'])} objects with {size:,} bytes{kept}"
    )


async def _own_keys(data_dir: Path | None) -> list[PublicKey]:
    """Return the public key of this installation, and those that it used before."""
    key = public_key(data_dir)
    try:
        return [key, *await earlier_keys(open_storage(data_dir), [key])]
    except (OSError, StorageError, ValueError):
        return [key]  # of a newer installation, this key signed all receipts
