"""Routes of the last version, which answer as before for one more version.

Their responses, also those of errors, have the headers `Deprecation` (RFC 9745), `Sunset` (RFC
8594), and a `Link` to the route that replaces them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

DEPRECATED: Final = datetime(2026, 12, 1, tzinfo=UTC)
"""When version 0.3 replaced these routes."""
SUNSET: Final = datetime(2027, 6, 1, tzinfo=UTC)
"""When they may be removed."""


def deprecated_router(prefix: str, *, successor: str, **options: Any) -> APIRouter:
    """Return a router whose routes are deprecated. `successor` is the path that replaces them."""
    headers = {
        "deprecation": f"@{DEPRECATED.timestamp():.0f}",
        "sunset": format_datetime(SUNSET, usegmt=True),
        "link": f'<{successor}>; rel="successor-version"',
    }

    class DeprecatedRoute(APIRoute):
        def __init__(self, path: str, endpoint: Any, **route: Any) -> None:
            super().__init__(path, endpoint, **{**route, "deprecated": True})

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(headers)
                await send(message)

            await super().handle(scope, receive, send_with_headers)

    return APIRouter(prefix=prefix, route_class=DeprecatedRoute, **options)
