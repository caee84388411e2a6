"""What the commands of `finetuned-server` share: an option, and how they fail."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from service.core.signing import PublicKey

DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of a standalone installation. Defaults to the settings.", file_okay=False
    ),
]
NewDataDir = Annotated[Path, typer.Option(help="Folder for all data.", file_okay=False)]


def fail(wrong: str | Exception, code: int = 1) -> NoReturn:
    """Print what is wrong, and exit."""
    message = wrong if isinstance(wrong, str) else reason(wrong) or str(wrong)
    typer.echo(f"finetuned-server: {message}", err=True)
    raise typer.Exit(code)


def reason(error: Exception) -> str | None:
    """Return what an error of a file or a setting means; None for any other error."""
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.strerror[:1].lower()}{error.strerror[1:]}"
        return what if error.filename is None else f"{error.filename} cannot be used: {what}"
    if isinstance(error, OSError):
        return str(error)
    if getattr(error, "title", None) == "Settings":  # pydantic's, without importing it
        return _setting_fault(error)
    return None


def _setting_fault(error: Any) -> str:
    """Return which setting is invalid, and why, without its value, which may be a secret."""
    from service.web.validation import from_validation

    first = error.errors()[0]
    if not first["loc"]:  # a rule about several settings, which it names
        return str(first["msg"]).removeprefix("Value error, ")
    name = f"FINETUNED_{first['loc'][0]}".upper()
    return from_validation([{**first, "loc": (name, *first["loc"][1:])}]).message


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
