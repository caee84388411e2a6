"""The record store of a standalone installation, without the rest of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service.standalone import services
from service.standalone.layout import DataLayout
from service.standalone.services import Ports, free_port
from service.standalone.supervisor import Supervisor

_START_S = 60.0


@asynccontextmanager
async def only_store(data_dir: Path) -> AsyncIterator[str]:
    """Run the store of a data folder, which is created if necessary, and yield its URL.

    Raises AlreadyRunning or StartFailed.
    """
    layout = DataLayout(data_dir.resolve())
    with layout.open(note=""):
        supervisor = Supervisor(layout.run, layout.logs)
        supervisor.clear_leftovers()
        store = services.valkey(layout, Ports(api=0, valkey=free_port(), worker=0))
        try:
            await supervisor.start(store)
            await supervisor.until_ready(store, _START_S)
            url = services.running_store(data_dir)
            assert url is not None
            yield url
        finally:
            await supervisor.stop()
