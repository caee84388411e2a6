"""The command-line application: its groups, imported when they are used, and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Final

import typer
from finetuned import __version__
from finetuned.errors import FinetunedError

from finetuned_cli.failures import (
    INTERRUPTED,
    REFUSED,
    USAGE,
    WrongUsage,
    exit_code,
    print_error,
)
from finetuned_cli.options import App, Group
from finetuned_cli.output import Out, filter_json
from finetuned_cli.session import choose_profile

# Groups and commands by name: the module (and the attribute) that has them, and their help.
COMMANDS: Final = {
    "login": ("login:login", "Save a server address and an API key."),
    "logout": ("login:logout", "Delete the key that `login` saved."),
    "profiles": ("login:profiles", "List the profiles that `login` saved."),
    "whoami": ("whoami:whoami", "Show the server, the API key and its limits."),
    "train": ("train:train", "Fine-tune a base model on a data file."),
    "chat": ("chat:chat", "Chat with a model, or compare two."),
    "files": ("files", "Data files: upload, preview, report, list rows, clean, diff, merge."),
    "jobs": ("jobs", "Fine-tuning jobs and their verdicts."),
    "models": ("models", "Base models, trained models and aliases."),
    "aliases": ("models:aliases", "Custom names for models."),
    "evidence": ("evidence", "Evidence of models: verify an archive."),
    "exports": ("operations:exports", "Copies of trained models for other software."),
    "imports": ("operations:imports", "Adapters that were trained elsewhere."),
    "generations": ("generating", "Training rows from documents."),
    "advice": ("advising", "Is a training worth it?"),
    "erasures": ("erasing", "Rows found by their text in all files, and removed."),
    "receipts": ("records:receipts", "Receipts of deleted files and models."),
    "recognizers": (
        "records:recognizers",
        "Personal data that only your project has, such as customer numbers.",
    ),
    "chats": (
        "stored_chats",
        "Chats that the project stored, with personal data replaced, to train on.",
    ),
    "evals": ("records:evals", "Evaluations of models with graders, and their runs."),
    "batches": ("records:batches", "Batches of inference requests."),
    "webhooks": ("webhooks", "Endpoints that receive events."),
    "usage": ("usage:usage", "Show inference requests and tokens."),
    "admin": ("admin", "Manage projects and keys, and read the audit log."),
}
# Names of 0.2.
RENAMED: Final = {
    "advise": "advice create",
    "alias": "aliases",
    "erase": "erasures create",
    "eval": "jobs verdict",
    "export": "exports create",
    "generate": "generations create",
    "import-model": "imports create",
    "stored-chats": "chats",
}


class Root(Group):
    """The commands of this package and those of others, such as clients/migrate."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._plugins = {point.name: point for point in entry_points(group="finetuned.commands")}
        self._loaded: dict[str, Any] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return [*COMMANDS, *sorted(self._plugins)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, which is imported now."""
        if cmd_name not in self._loaded:
            found = self._load(cmd_name)
            if found is None:
                return None
            self._loaded[cmd_name] = found
        return self._loaded[cmd_name]

    def _load(self, name: str) -> Any:
        if name in self._plugins:
            return _command(name, self._plugins[name].load())
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        return _command(name, getattr(import_module(f"finetuned_cli.{module}"), attribute or "app"))

    def helps(self, ctx: Any) -> list[tuple[str, str]]:
        """Return what each command is for, without importing it."""
        plugins = [(name, _package(point)) for name, point in sorted(self._plugins.items())]
        return [(name, about) for name, (_, about) in COMMANDS.items()] + plugins

    def renamed(self, name: str) -> str | None:
        """Return the present name of a command of an earlier version."""
        return RENAMED.get(name)


def _command(name: str, found: Any) -> Any:
    if not isinstance(found, typer.Typer):
        single = App()
        single.command(name)(found)
        found = single
    command = typer.main.get_command(found)
    command.name = name
    return command


def _package(point: EntryPoint) -> str:
    return f"From the package {point.dist.name}." if point.dist else "From another package."


app = App(
    name="finetuned",
    cls=Root,
    help="Fine-tune open models on your own hardware, and chat with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The API key and server come from FINETUNED_API_KEY and FINETUNED_BASE_URL, or `login`.

    --profile chooses what `login --profile` saved.
    """
    if version:
        typer.echo(__version__)
        raise typer.Exit


command: Any = typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command → its exit code."""
    choose_profile(None)
    filter_json(None)
    try:
        command(args=list(arguments), prog_name="finetuned")
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else REFUSED
    except FinetunedError as e:
        print_error(e, Out("--json" in arguments))
        return exit_code(e)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe, so nothing more can be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except UnicodeDecodeError:
        print_error(WrongUsage("A file of text is not in UTF-8."), Out("--json" in arguments))
        return USAGE
    except OSError as e:
        print_error(
            FinetunedError(f"{e.filename or 'a file'}: {e.strerror}"), Out("--json" in arguments)
        )
        return REFUSED
    return 0
