"""What encryption at rest costs: writing and reading a file in a folder, with and without it.

    python bench/storage/encryption.py --mib 512 --rounds 5

Both run in turns, and the best of the rounds counts. CPU seconds are user and system time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from service.core.encryption.master import LocalMasterKey, new_key
from service.core.storage import Storage

_MIB = 1024 * 1024
_KEY = "proj_bench/files/file-bench/content"


async def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = root / "source"
        with source.open("wb") as file:
            for _ in range(options.mib):
                file.write(os.urandom(_MIB))
        await _compare(root, source, options.mib, options.rounds)


async def _compare(root: Path, source: Path, mib: int, rounds: int) -> None:
    master = LocalMasterKey.parse(new_key(), "bench")
    storages = {
        "plain": Storage.from_url((root / "plain").as_uri()),
        "encrypted": Storage.from_url((root / "encrypted").as_uri(), master_key=master),
    }
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for _ in range(rounds):
        for name, storage in storages.items():
            for what, work in (
                ("write", lambda storage=storage: storage.put_file(_KEY, source)),
                ("read", lambda storage=storage: _read(storage)),
            ):
                taken = await _timed(work)
                best[what, name] = min(taken, best.get((what, name), taken), key=lambda t: t[1])
    print("| | plain, MiB/s | encrypted, MiB/s | plain, CPU s/GiB | encrypted, CPU s/GiB |")
    print("|---|---|---|---|---|")
    for what in ("write", "read"):
        plain, encrypted = best[what, "plain"], best[what, "encrypted"]
        speeds = f"{mib / plain[0]:.0f} | {mib / encrypted[0]:.0f}"
        costs = f"{plain[1] * 1024 / mib:.2f} | {encrypted[1] * 1024 / mib:.2f}"
        print(f"| {what} | {speeds} | {costs} |")


async def _read(storage: Storage) -> None:
    async for _ in await storage.stream(_KEY):
        pass


async def _timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return the seconds and the CPU seconds that the work takes."""
    began, cpu = time.perf_counter(), _cpu_s()
    await work()
    return time.perf_counter() - began, _cpu_s() - cpu


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    asyncio.run(main())
