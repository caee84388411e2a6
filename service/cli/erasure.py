"""`finetuned-server erasure`: the public key of receipts, and their verification."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.common import App, DataDir, fail, public_pem

app = App(help="Receipts of erasures.")


@app.command("key")
def print_key(data_dir: DataDir = None) -> None:
    """Print the public key of this installation as PEM, for 'erasure verify --key'."""
    try:
        typer.echo(asyncio.run(_public_pem(data_dir)), nl=False)
    except (ValueError, OSError) as e:
        fail(str(e))


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
    """Check that this installation signed a receipt, and that nobody changed it since.

    Exits with 5 if not. With --key, it needs no running service.
    """
    from service.core.signing import PublicKey
    from service.erasure.receipts import NotVerified
    from service.erasure.receipts import verify as check

    try:
        found = json.loads(receipt.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is not a JSON object")  # noqa: TRY004 - for the handler below
    except ValueError as e:
        fail(f"{receipt} is not a receipt: {e}")
    try:
        pem = key.read_bytes() if key else asyncio.run(_public_pem(data_dir)).encode()
        check(found, PublicKey.from_pem(pem))
    except NotVerified as e:
        fail(f"{receipt} is not valid: {e}", code=5)
    except (ValueError, OSError) as e:
        fail(str(e))
    typer.echo(_summary(found))


def _summary(receipt: dict[str, Any]) -> str:
    size = sum(found["bytes"] for found in receipt["objects"])
    return (
        f"{receipt['id']} is valid: the {receipt['subject']} {receipt['subject_id']} was erased, "
        f"{len(receipt['objects'])} objects with {size:,} bytes"
    )


async def _public_pem(data_dir: Path | None) -> str:
    from service.cli.connections import opened_redis

    async with opened_redis(data_dir) as redis:
        return await public_pem(redis)
