"""The separate port that serves the API's metrics to Prometheus: `/metrics`.

It is not the public port because metrics name projects and need no key.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.core.redis import Client
from service.fleet.redis_metrics import observe_redis
from service.web.side_port import serve

log = logging.getLogger(__name__)


@asynccontextmanager
async def serve_metrics(redis: Client, host: str, port: int) -> AsyncIterator[str]:
    """Serve this process's metrics and the queue depths, and yield the server's URL.

    Port 0 selects any free port. Raises PortTaken if the port cannot be opened.
    """

    async def prometheus(_: web.Request) -> web.Response:
        await observe_redis(redis)
        return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    routes = {"/metrics": prometheus}
    async with serve(routes, host, port, setting="FINETUNED_API_METRICS") as opened:
        url = f"http://{host}:{opened}"
        log.info("metrics are on %s/metrics", url)
        yield url
