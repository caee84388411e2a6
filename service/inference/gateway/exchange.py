"""Client-side state of a proxied request.

The client is watched only if the response takes longer than a moment. Then a client that
disconnects or stops reading ends the exchange, and the engine's work with it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec
from starlette.types import Message, Receive, Scope, Send

from service.core import ids, logs
from service.core.errors import ApiError
from service.inference.gateway.copies import ChatCopy
from service.inference.gateway.usage_tap import UsageTap
from service.inference.upstreams import Answer
from service.usage.accounts import CLIENT_GONE
from service.web import safe_headers
from service.web.wire.protocol import BODY_FOLLOWS

_WATCH_AFTER_S = 0.02
_STALL_CHECK_S = 1.0
_REQUEST_ID = re.compile(rb"[0-9A-Za-z._-]{1,64}")

Headers = Iterable[tuple[bytes, bytes]]


def given_request_id(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the ID that the client gave its request, if it is one."""
    given = headers.get(b"x-request-id")
    return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else None


class Exchange:
    """Progress of a response to the client. Create it in the task that answers the request."""

    __slots__ = (
        *("_at_event_start", "_is_stream", "_receive", "_send", "_sending_since", "_watch"),
        *("_copy", "_write_timeout_s", "arrived", "first_byte_s", "gave_up", "headers"),
        *("request_id", "scope", "status", "task"),
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        write_timeout_s: float,
        *,
        arrived: float | None = None,
        request_id: str | None = None,
    ) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.arrived = time.perf_counter() if arrived is None else arrived
        self.first_byte_s: float | None = None
        self.status = 0
        self.gave_up = False
        """Whether the client disconnected or stopped reading, and this ended the exchange."""
        self.task: asyncio.Task[None] | None = None
        self._receive = receive
        self._send = send
        self._write_timeout_s = write_timeout_s
        self._is_stream = False
        self._at_event_start = True
        self._sending_since: float | None = None
        self._watch: asyncio.Task[None] | None = None
        self._copy: ChatCopy | None = None
        self.request_id = request_id or given_request_id(self.headers) or ids.request_id()
        logs.request_id.set(self.request_id)  # the server gives each request its own context

    @property
    def seconds(self) -> float:
        """Seconds since the request arrived."""
        return time.perf_counter() - self.arrived

    # --- the client's side

    def watch(self) -> None:
        """Start watching for a client disconnect."""
        self._watch = asyncio.create_task(self._until_client_goes())

    def end_watch(self) -> None:
        """Stop watching the client."""
        if self._watch is not None:
            self._watch.cancel()

    async def _until_client_goes(self) -> None:
        gone = asyncio.ensure_future(_disconnected(self._receive))
        try:
            while not gone.done():
                await asyncio.wait((gone,), timeout=_STALL_CHECK_S)
                if self._is_stalled():
                    break
        finally:
            gone.cancel()
        self.gave_up = True
        self.status = CLIENT_GONE
        assert self.task is not None
        # Cancellation closes the engine connection, and vLLM stops at once.
        self.task.cancel()

    def _is_stalled(self) -> bool:
        since = self._sending_since
        return since is not None and time.perf_counter() - since > self._write_timeout_s

    # --- the response

    def copy_to(self, copy: ChatCopy) -> None:
        """Also give a copy what the client gets. Call it before the response begins."""
        self._copy, send = copy, self._send

        async def send_and_keep(message: Message) -> None:
            if message["type"] == "http.response.body":
                copy.keep(message.get("body", b""))
            await send(message)

        self._send = send_and_keep

    def end_copy(self) -> None:
        """End the copy of a chat, if there is one."""
        if self._copy is not None:
            self._copy.end(self.status)

    async def relay(
        self,
        answer: Answer,
        chunk: bytes,
        tap: UsageTap,
        for_client: Callable[[bytes], bytes],
        extra: Headers,
    ) -> None:
        """Stream a response to the client, starting with a chunk that was already read.

        `for_client` changes the engine's events, such as its errors, to those for the client.

        The response starts only when that chunk is available, so an engine that dies before then
        results in a plain error.
        """
        self.first_byte_s = self.seconds
        self.status = answer.status
        headers = self._headers_for_client(answer)
        headers.extend(extra)
        await self._send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": headers,
                BODY_FOLLOWS: True,
            }
        )
        while chunk and not answer.ended:
            if passed := for_client(tap.pass_on(chunk)):
                self._at_event_start = passed.endswith(b"\n\n")
                self._sending_since = time.perf_counter()
                await self._send({"type": "http.response.body", "body": passed, "more_body": True})
                self._sending_since = None
            chunk = await answer.read()
        last = for_client(tap.pass_on(chunk) + tap.finish())
        self._sending_since = time.perf_counter()
        await self._send({"type": "http.response.body", "body": last})

    async def fail(self, error: ApiError) -> None:
        """Report a failure to the client in the way that is still possible.

        Before the response starts, the failure is sent as a status and a body. In a stream, it is
        an error event, which the SDKs raise. A plain body cannot carry an error: it stays shorter
        than its Content-Length, and the server closes the connection.
        """
        body = msgspec.json.encode(error.body())
        if not self.status:
            self.status = error.status
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", self.request_id.encode()),
                *((k.encode(), v.encode()) for k, v in error.headers.items()),
                *safe_headers.SAFE,
            ]
            await self._send(
                {"type": "http.response.start", "status": error.status, "headers": headers}
            )
            await self._send({"type": "http.response.body", "body": body})
        elif self._is_stream:
            self.status = error.status
            event = b"data: " + body + b"\n\n"
            if not self._at_event_start:
                event = b"\n\n" + event
            await self._send({"type": "http.response.body", "body": event})

    def _headers_for_client(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        content_type = answer.headers.get(b"content-type", b"application/json")
        headers = [
            (b"content-type", content_type),
            (b"x-request-id", self.request_id.encode()),
        ]
        if (length := answer.headers.get(b"content-length")) is not None:
            headers.append((b"content-length", length))
        if content_type.startswith(b"text/event-stream"):
            self._is_stream = True
            return [*headers, *safe_headers.STREAM]
        return [*headers, *safe_headers.SAFE]


class Watch:
    """Watches the clients of exchanges that take longer than a moment.

    Most responses of engines that are not language models finish before that, so they need no
    task or timer of their own.
    """

    def __init__(self) -> None:
        self._young: dict[Exchange, None] = {}  # in order of arrival
        self._is_ticking = False

    def begin(self, exchange: Exchange) -> None:
        """Register an exchange. Call it in the task that answers."""
        exchange.task = asyncio.current_task()
        self._young[exchange] = None
        if not self._is_ticking:
            self._is_ticking = True
            asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._tick)

    def end(self, exchange: Exchange) -> None:
        """Unregister a finished exchange."""
        self._young.pop(exchange, None)
        exchange.end_watch()

    def _tick(self) -> None:
        oldest = time.perf_counter() - _WATCH_AFTER_S
        for exchange in list(self._young):
            if exchange.arrived > oldest:
                break
            del self._young[exchange]
            exchange.watch()
        self._is_ticking = bool(self._young)
        if self._is_ticking:
            asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._tick)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
