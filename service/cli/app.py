"""The command line: its commands, and how it ends.

Each command imports only what it needs, so that all start fast.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from service import __version__, offline
from service.cli import (
    audit,
    diagnosis,
    documents,
    erasure,
    files,
    keys,
    models,
    processes,
    upkeep,
)
from service.cli.common import App, reason
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
app.command()(upkeep.rebuild)
app.command()(upkeep.gc)
app.command("new-master-key")(upkeep.new_master_key)
app.command()(upkeep.encrypt)
app.command("rotate-master-key")(upkeep.rotate_master_key)
app.command()(upkeep.backup)
app.command()(upkeep.backups)
app.command()(upkeep.restore)
app.command("redis-acl")(documents.redis_acl)
app.command()(documents.openapi)
app.command()(documents.metrics)
app.command()(diagnosis.doctor)
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(files.app, name="files")
app.add_typer(audit.app, name="audit")
app.add_typer(erasure.app, name="erasure")


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
