"""Client for concurrent streams that measures the time to first token of each."""

from __future__ import annotations

import asyncio
import json
import time

_SILENCE_S = 5.0


async def first_token_ms(
    port: int, key: str, model: str, *, streams: int, each: int
) -> list[float]:
    """Return the milliseconds to the first event, for `each` requests on each of `streams`.

    Raises OSError if a response is not a complete stream.
    """
    body = json.dumps(
        {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    ).encode()
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"authorization: Bearer {key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body

    async def one(number: int) -> list[float]:
        await asyncio.sleep(number * 0.003)  # staggered start
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        times = []
        try:
            for _ in range(each):
                began = time.perf_counter()
                writer.write(request)
                seen = b""
                while not seen.endswith(b"0\r\n\r\n"):
                    part = await asyncio.wait_for(reader.read(65536), _SILENCE_S)
                    if not part or not (seen + part).startswith(b"HTTP/1.1 200"):
                        raise OSError(f"the stream broke: {(seen + part)[:300]!r}")
                    if b"data:" not in seen and b"data:" in part:
                        times.append((time.perf_counter() - began) * 1000)
                    seen += part
                if not seen.startswith(b"HTTP/1.1 200") or b"[DONE]" not in seen:
                    raise OSError(f"no whole stream: {seen[:200]!r}")
        finally:
            writer.close()
        return times

    return [t for part in await asyncio.gather(*(one(i) for i in range(streams))) for t in part]
