"""The api's process: uvicorn on uvloop and httptools."""

from __future__ import annotations

import gc
import resource

import uvicorn
from starlette.types import ASGIApp

from service import __version__
from service.app import create_app
from service.config import Settings
from service.core import logs, tracing
from service.core.storage_check import require_storage
from service.inference.gateway import PATHS
from service.web.traced import Traced
from service.web.wire.protocol import Protocol

_KEEP_ALIVE_S = 75
_GRACE_S = 30
_COLLECT_AFTER_OBJECTS = 10_000


def main() -> None:
    """Serve the api until it is told to stop."""
    settings = Settings()
    logs.configure("api", settings.log_level)
    require_storage(settings.storage_url)
    tracing.start("api", __version__)
    app: ASGIApp = create_app(settings, with_metrics_port=True)
    if tracing.is_on():  # where it is not, requests pass nothing of it
        app = Traced(app, routes=PATHS)
    _spare_the_collector()
    _allow_many_connections()
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http=Protocol.with_timeout(settings.client_timeout_s),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here asks for the address of a caller
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )


def _spare_the_collector() -> None:
    """Leave what is loaded out of garbage collection, and collect less often.

    A request makes a few hundred objects that reference counting frees. With the default of
    700 the collector would look through all modules again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 20)


def _allow_many_connections() -> None:
    """Raise the limit of open files to what the system allows; the usual 1024 is soon met."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
