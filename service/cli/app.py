"""The command line: which commands exist, and how the process ends.

All commands start fast: groups are imported when one of their commands is used, and the functions
of other commands import what they need.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from service import __version__, offline
from service.cli import maintenance, processes, reference
from service.cli.common import App, LazyGroup, reason
from service.garbage_collection import collect_seldom

app = App(
    name="finetuned-server",
    help="Fine-tune open models on your own hardware and serve them, with OpenAI's API.",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(processes.up)
app.command()(processes.api)
app.command()(processes.worker)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    processes.inference
)
app.command()(maintenance.rebuild)
app.command()(maintenance.gc)
app.command("new-master-key")(maintenance.new_master_key)
app.command()(maintenance.encrypt)
app.command("rotate-master-key")(maintenance.rotate_master_key)
app.command()(maintenance.backup)
app.command()(maintenance.backups)
app.command()(maintenance.restore)
app.command("redis-acl")(reference.redis_acl)
app.command()(reference.openapi)
app.command()(reference.metrics)
app.command()(maintenance.doctor)
for _name, _help in (
    ("keys", "API keys."),
    ("models", "Base models."),
    ("files", "Data files."),
    ("audit", "The audit log."),
    ("erasure", "Receipts of erasures."),
):
    app.add_typer(App(LazyGroup, help=_help), name=_name)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(argv: Any = None) -> NoReturn:
    """Entry point of `finetuned-server`.

    It exits without finalizing the interpreter: if a thread of obstore releases a Python object at
    that time, the process aborts, which happened after 3% of rebuilds on a busy machine.
    """
    offline.apply(os.environ)
    collect_seldom()
    code: str | int | None = 0
    try:
        app(argv)
    except Exception as error:
        # Any command may find an unusable file or setting.
        if (what := reason(error)) is None:
            raise
        typer.echo(f"finetuned-server: {what}", err=True)
        code = 1
    except SystemExit as leaving:
        code = leaving.code
        if isinstance(code, str):
            typer.echo(code, err=True)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
