"""Arguments and options of several `finetuned admin` commands."""

from __future__ import annotations

from typing import Annotated

import typer

ProjectId = Annotated[str, typer.Argument(metavar="PROJECT_ID", show_default=False)]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", show_default=False)]
Days = Annotated[
    int | None, typer.Option(help="Days until the key expires.", min=1, metavar="DAYS")
]


def seconds(days: int | None) -> int | None:
    """Return the days of an option in seconds."""
    return None if days is None else days * 24 * 3600
