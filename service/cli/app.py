"""The command line: all commands, of which `up`, `api`, `worker` and `inference` start processes.

All commands start fast: groups are imported when one of their commands is used, and the functions
of other commands import what they need.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from service import __version__, offline
from service.cli import maintenance, reference
from service.cli.common import App, LazyGroup, NewDataDir, fail, reason
from service.garbage_collection import collect_as_usual, collect_seldom, quick_imports

app = App(
    name="finetuned-server",
    help="Fine-tune open models on your own hardware and serve them, with OpenAI's API.",
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def up(
    data_dir: NewDataDir = Path("var"),
    port: Annotated[int, typer.Option(help="Port of the API.", min=1, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Address that the API listens on.")] = "127.0.0.1",
    demo_model: Annotated[
        bool, typer.Option(help="Add the demo model if the catalog is empty.")
    ] = True,
) -> None:
    """Run the whole service on this machine: store, API, worker and inference."""
    from service.models.catalogue import CatalogueError
    from service.models.model_folder import ModelRefused
    from service.standalone import up as standalone
    from service.standalone.layout import AlreadyRunning
    from service.standalone.ports import PortError
    from service.standalone.supervisor import StartFailed

    collect_as_usual()
    try:
        standalone.main(data_dir, host, port, demo_model=demo_model)
    except (AlreadyRunning, PortError, StartFailed, CatalogueError, ModelRefused) as e:
        fail(e)


@app.command()
def api() -> None:
    """Run the HTTP API and inference gateway on this host."""
    with quick_imports():
        from service import server
    collect_as_usual()
    server.main()


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Queues to take work from.")] = "cpu,gpu",
) -> None:
    """Run a worker. Run one per GPU, and at least one for the cpu queue."""
    with quick_imports():
        from service.worker import main as worker_main
    names = [name.strip() for name in queues.split(",")]
    if unknown := set(names) - {"cpu", "gpu"}:
        fail(f"no such queue: {', '.join(sorted(unknown))}; the queues are cpu and gpu")
    collect_as_usual()
    worker_main.main(names)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def inference(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Id of a base model.")],
    port: Annotated[int | None, typer.Option(help="Port of the engine.")] = None,
) -> None:
    """Run vLLM for one model. Additional options are passed through to vLLM."""
    from service.inference.engine import launch

    try:
        launch.main(model, port=port, extra=context.args)
    except launch.EngineConfigError as e:
        fail(e)


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
app.command()(reference.codes)
app.command("error-codes")(reference.error_codes)
app.command()(maintenance.doctor)
app.command()(maintenance.plan)
app.command()(maintenance.rehearse)
app.command()(maintenance.replay)
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
