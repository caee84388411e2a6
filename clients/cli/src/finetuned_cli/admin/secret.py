"""Where the secret of a new key goes: to a file or a pipe, and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from finetuned import config

from finetuned_cli.failures import WrongUsage
from finetuned_cli.output import Out

SecretTo = Annotated[
    str,
    typer.Option(
        help="Destination of the secret: a new file (mode 0600), or - for standard output, to "
        "pipe it. The secret is shown only once.",
        metavar="PATH|-",
    ),
]


def check_destination(to: str) -> None:
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


def give_secret(
    out: Out, key_id: str, secret: str, to: str, done: str, *, shown: dict[str, Any]
) -> None:
    """Write a secret to its destination, and print the ID of the key, or `shown` as JSON."""
    if to == "-":
        out.raw(f"{secret}\n")
        out.say(f"{done} {key_id}")
        return
    path = Path(to)
    config.write_private(path, f"{secret}\n")
    if out.json:
        out.value(shown)
    else:
        out.line(key_id)
        out.say(f"The secret was written to {path}.")
