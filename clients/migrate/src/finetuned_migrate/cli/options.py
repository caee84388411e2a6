"""Arguments and options that the commands on an archive share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="ARCHIVE", show_default=False)]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", help="Old model; repeatable. Default: all.", show_default=False),
]


def chosen(only: list[str] | None) -> tuple[str, ...] | None:
    """Return the names that were given; None for all."""
    return tuple(only) if only else None
