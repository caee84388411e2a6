"""Answers to requests for which nothing has to be waited for but the engine.

They need no task: one callback sends the request, and another relays the answer. Whatever takes
longer, such as a stream, an error or a lost connection, continues in a task, in gateway/app.py.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from service.core import ids
from service.inference.gateway.app import Gateway, forwarded
from service.inference.gateway.exchange import given_request_id
from service.inference.gateway.http_metrics import observe
from service.inference.gateway.parameters import PATHS
from service.inference.gateway.passage import Passage
from service.inference.gateway.usage_tap import usage_of
from service.inference.upstreams import header_lines
from service.inference.upstreams.answers import Sent
from service.usage.accounts import CLIENT_GONE
from service.web import safe_headers
from service.web.wire.express import ExpressProtocol
from service.web.wire.repeated import RequestHead

_SAFE: Final = b"".join(b"%b: %b\r\n" % header for header in safe_headers.SAFE)


class _Notes(NamedTuple):
    """What the requests with the same head have in common."""

    authorization: str
    lines: str
    """Of the headers that the engine gets."""
    request_id: str | None
    """The ID that the client gave them."""

    @classmethod
    def of(cls, headers: Mapping[bytes, bytes]) -> _Notes:
        return cls(
            headers.get(b"authorization", b"").decode("latin-1"),
            header_lines(forwarded(headers)),
            given_request_id(headers),
        )


class GatewayExpress:
    """Short cut of the gateway for requests that arrive complete."""

    paths = PATHS

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def begin(self, client: ExpressProtocol, head: RequestHead, body: bytes) -> bool:
        """Begin to answer a request, or return False to handle it as any other."""
        arrived = time.perf_counter()
        gateway = self._gateway
        notes = head.notes
        if notes is None:
            notes = head.notes = _Notes.of(head.headers)
        request_id = notes.request_id or ids.request_id()
        try:
            passage = gateway.passages.begin_at_once(notes.authorization, head.path, body)
        except Exception as e:  # noqa: BLE001 — answered like the errors of any other request
            client.hand_over(gateway.failing(e, arrived, request_id))
            return True
        if passage is None:
            return False
        lines = f"x-request-id: {request_id}\r\n{notes.lines}"
        sent = gateway.passages.send_at_once(passage, lines)
        if sent is None:
            client.hand_over(gateway.continuing(passage, arrived, request_id))
            return True
        answer = _Answer(gateway, client, passage, sent, arrived, request_id)
        client.expect(answer)
        sent.call_on_reply(answer.relay)
        return True


class _Answer:
    """An answer that the engine is working on."""

    __slots__ = ("_arrived", "_client", "_gateway", "_passage", "_request_id", "_sent")

    def __init__(
        self,
        gateway: Gateway,
        client: ExpressProtocol,
        passage: Passage,
        sent: Sent,
        arrived: float,
        request_id: str,
    ) -> None:
        self._gateway = gateway
        self._client = client
        self._passage = passage
        self._sent = sent
        self._arrived = arrived
        self._request_id = request_id

    def relay(self) -> None:
        """Relay the engine's answer if it is complete, or continue in a task."""
        gateway, passage, client = self._gateway, self._passage, self._client
        answer = None
        if client.takes_data and not passage.streamed:
            answer = self._sent.whole_answer()
        if answer is None:
            client.hand_over(gateway.continuing(passage, self._arrived, self._request_id))
            return
        content_type, length, body = answer
        first_byte_s = time.perf_counter() - self._arrived
        headers = b"content-type: %b\r\nx-request-id: %b\r\ncontent-length: %b\r\n%b%b" % (
            content_type,
            self._request_id.encode(),
            length,
            _SAFE,
            passage.admission.header_lines,
        )
        client.respond(headers, body)
        gateway.passages.end(passage, 200, first_byte_s, first_byte_s, usage_of(body))
        observe("POST", passage.path, 200, first_byte_s)

    def client_gone(self) -> None:
        """Stop the engine's work."""
        self._sent.abandon()
        seconds = time.perf_counter() - self._arrived
        self._gateway.passages.end(self._passage, CLIENT_GONE, None, seconds)
        observe("POST", self._passage.path, CLIENT_GONE, seconds)
