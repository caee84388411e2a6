"""A TCP proxy to Valkey that drops the responses of chosen commands and their connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Road:
    """The proxy. `lose` selects responses; Valkey has executed the commands by then."""

    host: str
    port: int
    url: str = ""
    lost: int = 0
    is_cut: bool = False
    cuts: bool = False
    _wanted: list[tuple[bytes, ...]] = field(default_factory=list)

    def lose(self, *words: bytes, cut: bool = False) -> None:
        """Drop the next response to commands, sent at once, that contain all these words.

        If `cut` is set, the proxy is closed afterwards until `is_cut` is set to False.
        """
        self._wanted.append(words)
        self.cuts = cut

    def lose_nothing(self) -> None:
        """Drop no more responses."""
        self._wanted.clear()

    def _is_lost(self, chunk: bytes) -> bool:
        for words in self._wanted:
            if all(word in chunk for word in words):
                self._wanted.remove(words)
                return True
        return False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side or the proxy ends it."""
        if self.is_cut:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_connection(self.host, self.port)
        loses = asyncio.Event()
        ways = [
            asyncio.create_task(self._there(reader, up_writer, loses)),
            asyncio.create_task(self._back(up_reader, writer, loses)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.close()
            up_writer.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loses: asyncio.Event
    ) -> None:
        while (chunk := await reader.read(1 << 20)) and not self.is_cut:
            if self._is_lost(chunk):
                loses.set()
            writer.write(chunk)
            await writer.drain()

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loses: asyncio.Event
    ) -> None:
        while (chunk := await reader.read(1 << 20)) and not self.is_cut:
            if loses.is_set():
                self.lost += 1
                self.is_cut = self.cuts
                return
            writer.write(chunk)
            await writer.drain()


@contextlib.asynccontextmanager
async def road_to(redis_url: str) -> AsyncIterator[Road]:
    """A running proxy."""
    target = urlsplit(redis_url)
    road = Road(target.hostname or "", target.port or 6379)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(task := asyncio.create_task(road.serve(reader, writer)))
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    road.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}{target.path}"
    try:
        yield road
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
