"""The api's process: uvicorn on uvloop and httptools."""

from __future__ import annotations

import uvicorn

from service.app import create_app
from service.config import Settings
from service.core import logs

_KEEP_ALIVE_S = 75
_GRACE_S = 30


def main() -> None:
    """Serve the api until it is told to stop."""
    settings = Settings()
    logs.configure("api", settings.log_level)
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
