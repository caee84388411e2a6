"""What all commands have in common: `--profile`, `--jq` next to `--json`, help and suggestions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import wraps
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import typer
from finetuned import config
from typer.core import TyperGroup

from finetuned_cli import complete, filtering, session
from finetuned_cli.output import Out

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


# Commands of the program of operators, which is a package of its own.
SERVER_COMMANDS: Final = frozenset(
    {
        *(
            "api",
            "audit",
            "backup",
            "backups",
            "doctor",
            "encrypt",
            "erasure",
            "codes",
            "error-codes",
            "gc",
            "inference",
        ),
        *("metrics", "new-master-key", "openapi", "plan", "rebuild", "redis-acl", "rehearse"),
        *("replay", "restore", "rotate-master-key", "up", "worker"),
    }
)


class Group(TyperGroup):
    """A group of commands with `help COMMAND`, which names the command that may be meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Understand `help COMMAND` as `COMMAND --help`."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or fail with commands of this name in other groups and programs."""
        name = args[0]
        if name not in self.list_commands(ctx):
            if now := self.renamed(name):
                ctx.fail(f"'{name}' is now 'finetuned {now}'.")
            close = get_close_matches(name, self.list_commands(ctx), n=1)
            if meant := _meant(ctx, name) or ", ".join(f"'{one}'" for one in close):
                ctx.fail(f"No such command '{name}'. Did you mean {meant}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the first sentence about each command, which Click would cut off."""
        with formatter.section("Commands"):
            formatter.write_dl(self.helps(ctx))

    def helps(self, ctx: Any) -> list[tuple[str, str]]:
        """Return what each command is for."""
        return [(name, one.get_short_help_str(1000)) for name, one in self.commands.items()]

    def renamed(self, name: str) -> str | None:
        """Return the present name of a command of an earlier version."""
        return None


def _meant(ctx: Any, name: str) -> str:
    """Return the commands of any group and program that have a name, or one like it."""
    root = ctx.find_root()
    found = {word: [f"finetuned-server {word}"] for word in SERVER_COMMANDS}
    for word, path in _below(ctx, root.command, root.info_name):
        found.setdefault(word, []).append(path)
    if name not in found and not get_close_matches(name, ctx.command.list_commands(ctx)):
        name = next(iter(get_close_matches(name, found, n=1)), name)
    return ", ".join(f"'{path}'" for path in found.get(name, ()))


def _below(ctx: Any, group: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the path of each command in a group."""
    for word in group.list_commands(ctx):
        inner = group.get_command(ctx, word)
        yield word, f"{path} {word}"
        if hasattr(inner, "commands"):
            yield from _below(ctx, inner, f"{path} {word}")


class App(typer.Typer):
    """A group of commands that all have the common options."""

    def __init__(self, cls: type[Group] = Group, **more: Any) -> None:
        super().__init__(
            cls=cls,
            # Tables cut off what does not fit, and so the names of options.
            rich_markup_mode=None,
            context_settings={"help_option_names": ["-h", "--help"]},
            **more,
        )

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
