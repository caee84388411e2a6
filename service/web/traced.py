"""ASGI middleware that wraps each request in a span. Used if tracing is enabled."""

from __future__ import annotations

from collections.abc import Container

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.core import tracing

_QUIET = frozenset({"/livez", "/readyz"})
_PASSED_ON = (b"traceparent", b"tracestate")


class Traced:
    """Wraps each request in a span.

    The span is the parent of all spans created below, in this process and the next one. Its
    `traceparent` replaces the caller's in the request headers.
    """

    def __init__(self, app: ASGIApp, *, routes: Container[str]) -> None:
        """Create the middleware. `routes` are paths of routes that bypass FastAPI."""
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI event."""
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        parent = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _PASSED_ON
        }
        method = scope["method"]
        with tracing.span(method, parent=parent, kind="server") as span:
            others = [h for h in scope["headers"] if h[0] not in _PASSED_ON]
            own = [(k.encode(), v.encode()) for k, v in tracing.carrier().items()]
            scope["headers"] = [*others, *own]
            status = 0
            answered = False

            async def send_traced(message: Message) -> None:
                nonlocal status, answered
                if message["type"] == "http.response.start":
                    status = message["status"]
                elif not answered:
                    answered = True
                    span.event("first byte")
                await send(message)

            try:
                await self._app(scope, receive, send_traced)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route is None and scope["path"] in self._routes:
                    route = scope["path"]
                _describe(span, method, route or "unmatched", status)


def _describe(span: tracing.Span, method: str, route: str, status: int) -> None:
    span.rename(f"{method} {route}")
    span.set_standard(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    if status >= 500:
        span.fail(str(status))
