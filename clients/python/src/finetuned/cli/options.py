"""Options that all commands have in common: `--profile`, and `--jq` next to `--json`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from finetuned import config
from finetuned.cli import complete, filtering, session
from finetuned.cli.output import Out

Command = TypeVar("Command", bound=Callable[..., Any])
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Profile saved by `login`; default: FINETUNED_PROFILE.",
        autocompletion=complete.profiles,
    ),
]
Jq = Annotated[
    str | None,
    typer.Option(
        "--jq", metavar="EXPRESSION", help="Print what a jq expression selects from the JSON."
    ),
]


class App(typer.Typer):
    """A group of commands that all have the common options."""

    def command(self, name: str | None = None, **more: Any) -> Callable[[Command], Command]:
        """Register a command with the common options."""
        register = super().command(name, **more)
        return lambda function: _registered(register, function)

    def callback(self, **more: Any) -> Callable[[Command], Command]:
        """Register what runs before the commands, with the common options."""
        register = super().callback(**more)
        return lambda function: _registered(register, function)


def _registered(register: Callable[[Any], Any], function: Command) -> Command:
    register(_with_common_options(function))
    return function


def _with_common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with the parameters `profile` and, with JSON output, `jq`."""
    hints = get_type_hints(function, include_extras=True)
    added: dict[str, Any] = {"profile": Profile}
    if "as_json" in hints:
        added["jq"] = Jq

    @wraps(function)
    def run(**given: Any) -> Any:
        profile, expression = given.pop("profile"), given.pop("jq", None)
        if expression is not None:
            filtering.choose(expression)
        if profile is not None:
            session.choose_profile(profile)
            if variables := config.set_variables():
                verb = "replaces" if len(variables) == 1 else "replace"
                text = f"{' and '.join(variables)} {verb} the profile {profile}"
                Out(given.get("as_json", False)).say(text, "yellow")
        return function(**given)

    kind = inspect.Parameter.KEYWORD_ONLY
    run.__annotations__ = hints | added
    run.__signature__ = inspect.signature(function).replace(  # type: ignore[attr-defined]
        parameters=[
            *(
                parameter.replace(kind=kind, annotation=hints[name])
                for name, parameter in inspect.signature(function).parameters.items()
            ),
            *(
                inspect.Parameter(name, kind, default=None, annotation=annotation)
                for name, annotation in added.items()
            ),
        ]
    )
    del run.__wrapped__  # its signature is another one
    return run
