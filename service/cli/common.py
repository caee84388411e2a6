"""What the commands of `finetuned-server` share: an option, and how they fail."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from service.core.signing import PublicKey

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of a standalone installation. Defaults to the settings."),
]


def fail(message: str, code: int = 1) -> NoReturn:
    """Print what is wrong, and exit."""
    typer.echo(f"finetuned-server: {message}", err=True)
    raise typer.Exit(code)


def time_text(seconds: float) -> str:
    """Return a time as the operator reads it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def public_key(data_dir: Path | None) -> PublicKey:
    """Return the public key of this installation. Raises SigningKeyError without its file."""
    from service.config import Settings
    from service.core.signing import InstallationKey

    settings = Settings()
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    return InstallationKey(settings.signing_key).get().public
