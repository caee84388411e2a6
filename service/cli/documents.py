"""`finetuned-server redis-acl`, `openapi` and `metrics`: files that are made of the code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from service.cli.common import fail


def redis_acl(
    secrets: Annotated[
        Path,
        typer.Option(
            help="Folder with a file for the password of each user. Missing ones are generated."
        ),
    ],
) -> None:
    """Print an ACL file for Redis, with a user for each kind of process, and one for operators."""
    from service.cli.redis_acl import acl_file

    try:
        typer.echo(acl_file(secrets), nl=False)
    except (OSError, ValueError) as e:
        fail(e)


def openapi(
    output: Annotated[Path | None, typer.Option(help="File to write. Defaults to stdout.")] = None,
) -> None:
    """Write the API's OpenAPI description."""
    from service.app import create_app
    from service.config import Settings
    from service.web.openapi.document import dumps

    text = dumps(create_app(Settings()).openapi())
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def metrics(
    output: Annotated[Path | None, typer.Option(help="File to write. Defaults to stdout.")] = None,
) -> None:
    """Write the reference page of all Prometheus metrics."""
    from service.cli.metrics_page import page

    if output is None:
        sys.stdout.write(page())
    else:
        output.write_text(page(), encoding="utf-8")
