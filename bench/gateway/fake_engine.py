"""Fake engine with almost no cost: implements enough of OpenAI's API to load a gateway.

    python bench/gateway/fake_engine.py PORT

JSON responses are immediate. A stream sends its first event immediately, then one every 10 ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

MODEL = "bench"
EVENTS, EVENT_EVERY_S = 20, 0.01

_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "We ship to the islands. " * 12},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 24, "completion_tokens": 64, "total_tokens": 88},
    },
    separators=(",", ":"),
).encode()


def _http(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\ndate: Wed, 25 Nov 2026 09:00:00 GMT\r\nserver: uvicorn\r\n"
        b"content-length: %d\r\ncontent-type: application/json\r\n\r\n%b" % (len(body), body)
    )


def _chunk(data: object) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    event = b"data: %b\n\n" % text.encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


_JSON = _http(_ANSWER)
_MODELS = _http(json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode())
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_BEGIN = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
_EVENT = _chunk({**_BEGIN, "choices": [{"index": 0, "delta": {"content": " islands"}}]})
_USAGE = _chunk({**_BEGIN, "choices": [], "usage": {"prompt_tokens": 24, "completion_tokens": 20}})
_END = _chunk("[DONE]") + b"0\r\n\r\n"


class Engine(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not a subclass with uvloop.
        self.transport = cast("asyncio.Transport", transport)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            self.transport.write(_MODELS)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.usage = b"include_usage" in body
            self.transport.write(_STREAM_HEAD + _EVENT)
            self.later(EVENTS - 1)
        else:
            self.transport.write(_JSON)

    def later(self, left: int) -> None:
        asyncio.get_running_loop().call_later(EVENT_EVERY_S, self.event, left)

    def event(self, left: int) -> None:
        if self.transport.is_closing():
            return
        if left:
            self.transport.write(_EVENT)
            self.later(left - 1)
        else:
            self.transport.write(_USAGE + _END if self.usage else _END)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Engine, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
