"""Shared by all commands of `finetuned-server`: groups and their help, options, and failures."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from service.core.encryption.signing import PublicKey

DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of a standalone installation. Defaults to the settings.", file_okay=False
    ),
]
NewDataDir = Annotated[Path, typer.Option(help="Folder for all data.", file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Commands of `finetuned`, the users' program, which is a package of its own.
CLIENT_COMMANDS: Final = {
    "upload": "files upload",
    "projects": "admin projects",
    "service-accounts": "admin service-accounts",
    **{
        name: name
        for name in (
            *("admin", "advice", "aliases", "batches", "chat", "chats", "erasures", "evals"),
            *("evidence", "exports", "generations", "import-config", "imports", "jobs"),
            *("leave-openai", "login", "logout", "profiles", "receipts", "recognizers"),
            *("train", "usage", "webhooks", "whoami"),
        )
    },
}


class Group(TyperGroup):
    """A group of commands with `help COMMAND`, which names the command that may be meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Understand `help COMMAND` as `COMMAND --help`."""
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or fail with commands of this name in other groups and programs."""
        name = args[0]
        if name not in self.commands and (
            meant := _similar_commands(ctx.find_root().command, name)
        ):
            named = " or ".join(f"'{path}'" for path in meant)
            ctx.fail(f"No such command '{name}'. Did you mean {named}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the first sentence about each command, which Click would cut off."""
        with formatter.section("Commands"):
            formatter.write_dl([(n, c.get_short_help_str(1000)) for n, c in self.commands.items()])


def _similar_commands(root: Any, name: str) -> list[str]:
    """Return commands with this name in other groups and in the users' program."""
    found = [
        f"finetuned-server {group} {name}"
        for group, inner in root.commands.items()
        if name in getattr(inner, "commands", ())
    ]
    if name in root.commands:
        found.append(f"finetuned-server {name}")
    if name in CLIENT_COMMANDS:
        found.append(f"finetuned {CLIENT_COMMANDS[name]}")
    return found


class LazyGroup(Group):
    """A group whose module, `service.cli.{name}`, is imported when a command is looked up."""

    _commands: Any

    @property
    def commands(self) -> Any:
        """The commands by name."""
        if not self._commands:
            module = import_module(f"service.cli.{self.name}")
            self._commands = typer.main.get_group(module.app).commands
        return self._commands

    @commands.setter
    def commands(self, commands: Any) -> None:
        self._commands = commands


class App(typer.Typer):
    """A group of commands that shows its help in full."""

    def __init__(self, cls: type[Group] = Group, **more: Any) -> None:
        super().__init__(
            cls=cls,
            no_args_is_help=True,
            # Tables cut off what does not fit, and so the names of options.
            rich_markup_mode=None,
            context_settings={"help_option_names": ["-h", "--help"]},
            **more,
        )


def fail(wrong: str | Exception, code: int = 1) -> NoReturn:
    """Print what is wrong, and exit."""
    message = wrong if isinstance(wrong, str) else reason(wrong) or str(wrong)
    typer.echo(f"finetuned-server: {message}", err=True)
    raise typer.Exit(code)


def reason(error: Exception) -> str | None:
    """Return a message for an error of a file or a setting; None for any other error."""
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
    from service.core.encryption.signing import InstallationKey

    settings = Settings()
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    return InstallationKey(settings.signing_key).get().public
