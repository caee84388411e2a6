"""Scenario of the gateway without a working engine: keys, limits and failing engines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.openapi.world import World

ROUTES: dict[str, dict[str, Any]] = {
    "createChatCompletion": {"messages": [{"role": "user", "content": "Are you open on Mondays?"}]},
    "createCompletion": {"prompt": "Our opening hours are"},
    "createResponse": {"input": "Are you open on Mondays?"},
    "createEmbedding": {"input": "Are you open on Mondays?"},
}
CLIENT_TIMEOUT_S = 0.5
SILENT, GARBLED, FAILING = "qwen3-32b", "qwen3-14b", "qwen3-8b"
AWAY, UNSERVED = "qwen3-4b", "qwen3-1.7b"
"""Base models whose engines are like this."""

_ANSWERS = {
    SILENT: b"",
    GARBLED: b"220 mail.example ESMTP\r\n",
    FAILING: b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
}


@contextlib.asynccontextmanager
async def engines(free_port: int) -> AsyncIterator[dict[str, str]]:
    """Addresses of engines by base model, which are healthy but return unusable responses."""
    servers = []

    async def start(answer: bytes) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.read(64 * 1024)
            if request.startswith(b"GET "):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            elif answer:
                writer.write(answer)
            else:
                await reader.read()  # until the caller leaves
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    found = {name: await start(answer) for name, answer in _ANSWERS.items()}
    yield found | {AWAY: f"http://127.0.0.1:{free_port}"}
    for server in servers:
        server.close()


async def _slow() -> AsyncIterator[bytes]:
    """Send a body that is not complete in time."""
    yield b"{"
    await asyncio.sleep(2 * CLIENT_TIMEOUT_S)


async def failures(world: World, limited_key: str, *, max_body_bytes: int) -> None:
    """Provoke every error of every route."""
    for operation, body in ROUTES.items():
        await world.call(operation, expect=400, json=body)
        await world.call(operation, expect=400, json={"model": 7, **body})
        await world.call(operation, expect=404, json={"model": "gpt-4o", **body})
        large = {"model": AWAY, **body, "user": "0" * max_body_bytes}
        await world.call(operation, expect=413, json=large)
        closed = {"connection": "close"}
        await world.call(operation, expect=408, headers=closed, content=_slow())
        for model, status in ((FAILING, 500), (GARBLED, 502), (SILENT, 504)):
            await world.call(operation, expect=status, json={"model": model, **body})
        for model in (UNSERVED, AWAY):
            await world.call(operation, expect=503, json={"model": model, **body})
    for operation, body in ROUTES.items():
        # It may send one request a minute, which the first one uses up.
        request = {"model": AWAY, **body}
        first = operation == "createChatCompletion"
        if first:
            await world.call(operation, expect=503, key=limited_key, json=request)
        await world.call(operation, expect=429, key=limited_key, json=request)
