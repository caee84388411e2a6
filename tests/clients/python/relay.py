"""A TCP relay in front of a server, which can cut, stall and refuse connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Relay:
    """TCP relay that forwards bytes until a test cuts the connections."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0
        self.up_bytes = 0
        self.down_bytes = 0
        self.cut_after_up: int | None = None
        """Cut all connections once, after this many bytes to the server."""
        self.cut_after_down: int | None = None
        """Cut all connections once, after this many bytes to the client."""
        self.refuses = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._open):
            writer.transport.abort()
        self._open.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            to, back = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        await asyncio.gather(self._pass(reader, back, up=True), self._pass(to, writer, up=False))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(16_384):
                if self._due(len(data), up=up):
                    self.cut()
                    return
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
        self._open.discard(writer)

    def _due(self, count: int, *, up: bool) -> bool:
        if up:
            self.up_bytes += count
            if self.cut_after_up is not None and self.up_bytes >= self.cut_after_up:
                self.cut_after_up = None
                return True
        else:
            self.down_bytes += count
            if self.cut_after_down is not None and self.down_bytes >= self.cut_after_down:
                self.cut_after_down = None
                return True
        return False


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Yield the address of a server that sends these bytes to each request, or nothing if empty."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def relayed(url: str) -> AsyncIterator[Relay]:
    """Yield a relay in front of the server at `url`."""
    parts = urlsplit(url)
    relay = Relay(str(parts.hostname), int(parts.port or 80))
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        relay.cut()
        server.close()
        await server.wait_closed()
