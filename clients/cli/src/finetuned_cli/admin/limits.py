"""ApiKeyLimits of projects and keys, as options and as text."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from finetuned.types import ApiKeyLimits, ProjectLimits

from finetuned_cli.failures import WrongUsage
from finetuned_cli.output import size

Amount = Annotated[
    str | None, typer.Option(help="A number, 'unlimited', or 'default'.", metavar="N")
]


def amounts(**given: str | None) -> Any:
    """Return the limits that were given. Raises WrongUsage if there are none."""
    limits = {name: _amount(text) for name, text in given.items() if text is not None}
    if not limits:
        raise WrongUsage("No limit was given.", next_step="See `--help` for the available limits.")
    return limits


def in_words(limits: ApiKeyLimits | ProjectLimits) -> str:
    """Return limits as text."""
    named = limits.model_dump(exclude_none=True)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in named.items())


def storage_in_words(used: int, quota: object) -> str:
    """Return how much of a storage quota is used."""
    return f"{size(used)} of {size(quota)}" if isinstance(quota, int) else size(used)


def _amount(text: str) -> int | str | None:
    if text == "default":
        return None
    if text == "unlimited":
        return text
    if not (text.isascii() and text.isdigit()):
        raise WrongUsage(
            f"'{text}' is not a valid limit.", next_step="Use a number, 'unlimited' or 'default'."
        )
    return int(text)
