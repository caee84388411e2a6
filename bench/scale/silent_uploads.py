"""Memory of uploads that stop half-way: `python -m bench.scale.silent_uploads`.

Starts its own Valkey and api. Each client sends the first bytes of a file, and then nothing. The
table has the api's memory before and during the uploads, and the number of uploads that it refused.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from urllib.parse import urlsplit

from bench.scale.run import Site, site_of

MIB = 1024 * 1024
REFUSED = b"HTTP/1.1 429"

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def send_half(site: Site, sent_bytes: int) -> Client:
    """Send the head of an upload and its first bytes, and keep the connection."""
    url = urlsplit(str(site.http.base_url))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = (
        "POST /v1/files?purpose=user_data HTTP/1.1\r\nhost: bench\r\n"
        f"authorization: {site.http.headers['authorization']}\r\n"
        "content-type: application/octet-stream\r\n"
        f"content-length: {2 * sent_bytes}\r\n\r\n"
    )
    writer.write(head.encode())
    left = sent_bytes
    with contextlib.suppress(TimeoutError, ConnectionError):  # the api may read none of it
        async with asyncio.timeout(20):
            while left > 0:
                writer.write(bytes(min(left, MIB)))
                left -= MIB
                await writer.drain()
    return reader, writer


async def count_refused(readers: list[asyncio.StreamReader], within_s: float) -> int:
    """Return how many of the uploads are answered with 429 within some seconds."""

    async def is_refused(reader: asyncio.StreamReader) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                return (await reader.readline()).startswith(REFUSED)
        return False

    return sum(await asyncio.gather(*map(is_refused, readers)))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=120)
    parser.add_argument("--mib", type=int, default=10, help="that each client sends")
    options = parser.parse_args()
    async with site_of(requests=1, series=1, rounds=1) as site:
        await site.http.post("/v1/files?purpose=user_data", content=bytes(MIB))
        before = site.api.memory_info().rss
        sending = (send_half(site, options.mib * MIB) for _ in range(options.uploads))
        clients = await asyncio.gather(*sending)
        await asyncio.sleep(2)
        during = site.api.memory_info().rss
        refused = await count_refused([reader for reader, _ in clients], within_s=35)
        for _, writer in clients:
            writer.close()
        print("| uploads | api's MiB before | during | refused |\n|---:|---:|---:|---:|")
        print(f"| {options.uploads} | {before // MIB} | {during // MIB} | {refused} |")


if __name__ == "__main__":
    asyncio.run(main())
