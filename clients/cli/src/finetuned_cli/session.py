"""Helpers shared by commands: the client, confirmation prompts, `KEY=VALUE` options."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from finetuned import Client, config

from finetuned_cli.failures import WrongUsage

_profile: ContextVar[str | None] = ContextVar("profile", default=None)


def choose_profile(name: str | None) -> None:
    """Use a profile for the rest of this command. None means that none was chosen."""
    _profile.set(name)


def profile() -> str:
    """Return the name of the profile in use."""
    return config.profile_name(_profile.get())


def client() -> Client:
    """Return a client for the server from the environment or `finetuned login`."""
    return Client(profile=_profile.get())


def given(**options: Any) -> dict[str, Any]:
    """Return the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def confirm(question: str, *, yes: bool) -> None:
    """Ask the user for confirmation. Raises WrongUsage without it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUsage("This cannot be undone.", next_step="Pass --yes to skip the confirmation.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise WrongUsage("Not confirmed; nothing was changed.")


def base_model(server: Client, given: str | None) -> str:
    """Return the base model to train: the given one, or the only one of the server.

    Raises NotFound if there is no such model, so that nothing is uploaded for it, and WrongUsage if
    the server has several base models and none is given.
    """
    if given is not None:
        return server.models.retrieve(given).id
    bases = [model.id for model in server.models.list() if model.owned_by == "system"]
    if len(bases) != 1:
        raise WrongUsage(
            f"The server has {len(bases)} base models, so one must be chosen.",
            next_step=f"Pass --model with one of these: {', '.join(bases)}." if bases else None,
        )
    return bases[0]


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """Parse the `KEY=VALUE` pairs of a repeatable option."""
    parsed = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise WrongUsage(f"{option} takes KEY=VALUE, not '{text}'.")
        parsed[key] = value
    return parsed
