"""Cost of idle event streams: `python -m bench.scale.streams`. Starts its own Valkey and api.

Opens many event streams of waiting jobs, and lets them idle. The table has the api's memory, its
CPU time and the Redis commands while they are open, the response time of `/livez`, and how long an
event that another process writes takes to reach all streams of its job.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import statistics
import time
from urllib.parse import urlsplit

from bench.scale.run import Site, fill_of, site_of
from service.jobs.records import JobRecord, Jobs, NewEvent

MIB = 1024 * 1024
OPENED_AT_ONCE = 50
MARK = b"the benchmark's event"
HEAD = (
    "| streams | opened | lost | MiB | CPU, % | Redis commands/s | `/livez` p50, max, ms "
    "| an event arrives after, s |\n|---:|---:|---:|---:|---:|---:|---:|---:|"
)


class Streams:
    """Open event streams."""

    def __init__(self, site: Site) -> None:
        url = urlsplit(str(site.http.base_url))
        self._address = url.hostname, url.port
        self._authorization = site.http.headers["authorization"]
        self._gate = asyncio.Semaphore(OPENED_AT_ONCE)
        self._reading: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.lost = 0
        self.wanted = 0
        self.arrivals: list[float] = []
        self.all_arrived = asyncio.Event()

    async def open(self, job: JobRecord) -> bool:
        """Open a stream. Returns False if the api refuses it."""
        async with self._gate:
            reader, writer = await asyncio.open_connection(*self._address, limit=4096)
            self._writers.append(writer)
            path = f"/v1/fine_tuning/jobs/{job.id}/events?stream=true"
            head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {self._authorization}\r\n\r\n"
            writer.write(head.encode())
            if not (await reader.readline()).startswith(b"HTTP/1.1 200"):
                return False
        self._reading.append(asyncio.create_task(self._read(reader)))
        return True

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if MARK in line:
                self.arrivals.append(time.perf_counter())
                if len(self.arrivals) == self.wanted:
                    self.all_arrived.set()
        self.lost += 1

    def close(self) -> None:
        for task in self._reading:
            task.cancel()
        for writer in self._writers:
            writer.close()


async def livez_ms(site: Site, seconds: float) -> list[float]:
    """Return the times of `/livez`, asked ten times a second."""
    took, until = list[float](), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        await site.http.get("/livez")
        took.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.1)
    return took


async def measure(site: Site, jobs: list[JobRecord], count: int, seconds: float) -> str:
    """Return a row of the table."""
    streams = Streams(site)
    opening = (streams.open(jobs[n % len(jobs)]) for n in range(count))
    opened = sum(await asyncio.gather(*opening))
    await asyncio.sleep(5)
    commands, cpu_ms, began = await site.commands(), site.cpu_ms(), time.perf_counter()
    took = await livez_ms(site, seconds)
    seconds = time.perf_counter() - began
    cpu = (site.cpu_ms() - cpu_ms) / seconds / 10
    rate = (await site.commands() - commands - 1) / seconds
    rss, lost = site.api.memory_info().rss // MIB, streams.lost
    last = await last_arrival_s(site, streams, jobs[0], opened // len(jobs))
    streams.close()
    return (
        f"| {count} | {opened} | {lost} | {rss} | {cpu:.0f} | {rate:.0f} "
        f"| {statistics.median(took):.0f}, {max(took):.0f} | {last} |"
    )


async def last_arrival_s(site: Site, streams: Streams, job: JobRecord, listeners: int) -> str:
    """Write an event of a job, and return when the last of its streams had it."""
    store, started, streams.wanted = Jobs(site.redis), time.perf_counter(), listeners
    event = NewEvent(message=MARK.decode())
    await store.change(job.project_id, job.id, lambda job: job, events=lambda _: [event])
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(streams.all_arrived.wait(), 60)
    if not streams.arrivals:
        return "–"
    return f"{max(streams.arrivals) - started:.2f} ({len(streams.arrivals)} of {listeners})"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[600, 10_000])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(HEAD, flush=True)
    for count in options.streams:
        async with site_of(requests=1, series=1, rounds=1) as site:
            jobs = await fill_of(site).jobs(options.jobs, ended=False)
            print(await measure(site, jobs, count, options.seconds), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
