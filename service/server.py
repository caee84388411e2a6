"""The API process: uvicorn on uvloop and httptools."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import resource
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from service import __version__
from service.app import Api, create_app
from service.config import Settings
from service.core import logs, tracing
from service.core.networks import network
from service.core.startup_checks import require_redis, require_storage
from service.inference.gateway import PATHS
from service.standalone.ports import PortError, listen
from service.web.middleware import Traced
from service.web.probing import SOCKETS
from service.web.wire.connection_limits import ConnectionLimits
from service.web.wire.protocol import HttpProtocol

log = logging.getLogger(__name__)

_KEEP_ALIVE_S = 75
_COLLECT_AFTER_OBJECTS = 10_000
_LAST_WORDS_S = 2  # for error events, after which uvicorn cancels what is still open


def main() -> None:
    """Serve the API until the process is asked to stop."""
    settings = Settings()
    logs.configure("api", settings.log_level)
    require_storage(settings.storage_url, settings.master_key)
    require_redis(settings.redis_url.get_secret_value(), settings.redis_check)
    tracing.start("api", __version__)
    api = create_app(settings, with_metrics_port=True)
    app: ASGIApp = api
    if tracing.is_on():  # otherwise requests do not pass through this layer
        app = Traced(api, routes=PATHS)
    _reduce_garbage_collection()
    _allow_many_connections()
    config = uvicorn.Config(
        app,
        ssl_certfile=settings.api_tls_cert,
        ssl_keyfile=settings.api_tls_key,
        loop="uvloop",
        http=HttpProtocol.with_limits(
            settings.client_timeout_s,
            _connection_limits(settings),
            application=None if tracing.is_on() else api,
        ),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # web/client_address.py determines the addresses of clients
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(settings.stop_grace_s) + _LAST_WORDS_S,
    )
    server = _Server(config, api, settings.stop_grace_s)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(_sockets(settings))
    if not server.started:
        sys.exit(1)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, api: Api, stop_grace_s: float) -> None:
        super().__init__(config)
        self._api = api
        self._stop_grace_s = stop_grace_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and log the addresses, which uvicorn does only for sockets of its own."""
        await super().startup(sockets)
        scheme = "https" if self.config.ssl else "http"
        for one in sockets or ():
            host, port = one.getsockname()[:2]
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            log.info("running on %s://%s", scheme, place)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let open requests end. After the grace period, streams end with an error event."""
        asyncio.get_running_loop().call_later(self._stop_grace_s, self._end_streams)
        await super().shutdown(sockets)

    def _end_streams(self) -> None:
        if self._api.gateway is not None:
            self._api.gateway.close()


def _sockets(settings: Settings) -> list[socket.socket]:
    """Return sockets that listen: those of `up`, or new ones."""
    if numbers := os.environ.get(SOCKETS):
        return [socket.socket(fileno=int(number)) for number in numbers.split(",")]
    try:
        return listen(settings.api_host, settings.api_port, "FINETUNED_API_PORT")
    except PortError as e:
        raise SystemExit(f"finetuned-server: {e}") from None


def _connection_limits(settings: Settings) -> ConnectionLimits | None:
    most = settings.max_connections_per_address
    proxies = map(network, settings.trusted_proxies)
    return ConnectionLimits(most, unlimited=proxies) if most else None


def _reduce_garbage_collection() -> None:
    """Exclude loaded objects from garbage collection, and collect less often.

    A request creates a few hundred objects that reference counting frees. With the default
    threshold of 700, the collector would traverse all modules repeatedly.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 20)


def _allow_many_connections() -> None:
    """Raise the open-file limit to the system's maximum; the usual 1024 is easily reached."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
