"""The inference routes: API key, model, limits, engine, then the streamed response.

The gateway bypasses the framework, which would cost more than the work on this path. The engine
gets the body as received, with a few fields appended. The client gets the response chunk by chunk.
Nothing is stored, except chats of projects that store them (`ChatCopies`). Of the client's headers,
only trace IDs are forwarded; of the engine's, only those that describe the body.
"""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from service.core.errors import Unavailable
from service.inference.chat_load import ChatReports
from service.inference.gateway.admission import Admissions
from service.inference.gateway.client import AsgiClient, Client, RequestHeaders
from service.inference.gateway.exchange import ChatCopies, Exchange, Resources
from service.inference.gateway.parameters import PATHS, RequestRules
from service.inference.upstreams import Upstreams
from service.models.parsers import ToolCallParsers
from service.models.registry import ModelRegistry
from service.usage.meter import Meter
from service.web.auth import Authenticator
from service.web.request_audit import ModelRequests
from service.web.wire.protocol import HandledRequest


class Gateway:
    """Serves all inference routes: by callbacks of the server, or as an ASGI application."""

    paths = PATHS

    def __init__(
        self,
        authenticator: Authenticator,
        registry: ModelRegistry,
        upstreams: Upstreams,
        meter: Meter,
        *,
        max_body_bytes: int,
        client_timeout_s: float,
        rules: RequestRules | None = None,
        salt_secret: str = "",
        tools: ToolCallParsers | None = None,
        reports: ChatReports | None = None,
        audited: ModelRequests | None = None,
        copies: ChatCopies | None = None,
    ) -> None:
        admissions = Admissions(
            registry, meter, tools or ToolCallParsers(), salt_secret=salt_secret
        )
        self._resources = Resources(
            authenticator=authenticator,
            registry=registry,
            upstreams=upstreams,
            admissions=admissions,
            rules=rules or RequestRules(),
            max_body_bytes=max_body_bytes,
            client_timeout_s=client_timeout_s,
            reports=reports,
            audited=audited,
            copies=copies,
        )
        self._live: set[Exchange] = set()
        self._is_closed = False

    def handle(self, request: HandledRequest) -> None:
        """Answer a request that arrived complete."""
        head = request.head
        if head.parsed is None:
            head.parsed = RequestHeaders.parse(head.headers)
        self._start(request, head.parsed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Every failure has an error body in OpenAI's format."""
        client = AsgiClient(scope, receive, send, self._resources.client_timeout_s)
        self._start(client, RequestHeaders.parse(client.headers))
        await client.run()

    def close(self) -> None:
        """End open requests, streams with an error event, and refuse those that still arrive."""
        self._is_closed = True
        for exchange in list(self._live):
            exchange.stop(_stopping())

    def _start(self, client: Client, headers: RequestHeaders) -> None:
        exchange = Exchange(self._resources, client, headers, self._live)
        if self._is_closed:
            exchange.fail(_stopping())
        else:
            exchange.start()


def _stopping() -> Unavailable:
    return Unavailable("The server is stopping. Try again in a few seconds.")
