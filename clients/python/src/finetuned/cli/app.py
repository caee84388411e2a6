"""The command-line application: command registration and exit codes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Annotated

import typer

from finetuned import __version__
from finetuned.cli import (
    admin,
    advising,
    chat,
    erasing,
    evaluation,
    exporting,
    files,
    generating,
    importing,
    jobs,
    login,
    models,
    receipts,
    recognizers,
    stored_chats,
    sweeps,
    train,
    usage,
    whoami,
)
from finetuned.cli.failures import INTERRUPTED, REFUSED, exit_code, print_error
from finetuned.cli.options import App
from finetuned.cli.output import Out, filter_json
from finetuned.cli.session import choose_profile
from finetuned.errors import FinetunedError

app = App(
    name="finetuned",
    help="Fine-tune open models on your own hardware, and chat with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(login.login)
app.command()(login.logout)
app.command()(login.profiles)
app.command()(whoami.whoami)
app.add_typer(files.app, name="files")
app.add_typer(recognizers.app, name="recognizers")
app.add_typer(receipts.app, name="receipts")
app.add_typer(stored_chats.app, name="stored-chats")
app.command()(erasing.erase)
app.command()(generating.generate)
app.command()(advising.advise)
app.command()(train.train)
app.command()(importing.import_model)
app.add_typer(jobs.app, name="jobs")
app.add_typer(sweeps.app, name="sweeps")
app.command("eval")(evaluation.evaluate)
app.command()(chat.chat)
app.add_typer(models.app, name="models")
app.add_typer(models.alias, name="alias")
app.command("export")(exporting.export)
app.command()(usage.usage)
app.add_typer(admin.app, name="admin")
# Commands of other installed packages, such as clients/migrate.
for point in sorted(entry_points(group="finetuned.commands"), key=lambda point: point.name):
    command = point.load()
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=point.name)
    else:
        app.command(point.name)(command)


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


@functools.cache
def _command() -> Callable[..., object]:
    """Return the application as Click runs it. Typer makes it of all functions, in 40 ms."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command → its exit code."""
    choose_profile(None)
    filter_json(None)
    try:
        _command()(args=list(arguments), prog_name="finetuned")
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
    except OSError as e:
        print_error(
            FinetunedError(f"{e.filename or 'a file'}: {e.strerror}"), Out("--json" in arguments)
        )
        return REFUSED
    return 0
