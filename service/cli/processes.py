"""`finetuned-server up`, `api`, `worker` and `inference`: the processes of an installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.common import NewDataDir, fail
from service.garbage_collection import collect_as_usual, quick_imports


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


def api() -> None:
    """Run the HTTP API and inference gateway on this host."""
    with quick_imports():
        from service import server
    collect_as_usual()
    server.main()


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


def inference(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="Id of a base model, or name of a trained model to serve merged.")
    ],
    port: Annotated[int | None, typer.Option(help="Port of the engine.")] = None,
) -> None:
    """Run vLLM for one model. Additional options are passed through to vLLM."""
    from service.inference.engine import launch
    from service.standalone.supervisor import NOT_AGAIN

    try:
        launch.main(model, port=port, extra=context.args)
    except launch.NothingToServe as e:
        fail(str(e), NOT_AGAIN)
    except launch.EngineConfigError as e:
        fail(e)
