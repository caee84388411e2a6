"""A worker in a process of its own, which is killed in the middle of its work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.config import Settings
from tests.cached import ROOT


@asynccontextmanager
async def killed_worker(settings: Settings, **more: str) -> AsyncIterator[None]:
    """Run a worker of the `cpu` queue with these settings during a block, and then kill it.

    `more` are further settings.
    """
    key = settings.upstream_api_key
    variables = {
        "redis_url": settings.redis_url.get_secret_value(),
        "storage_url": settings.storage_url,
        "data_dir": str(settings.data_dir),
        "models_file": str(settings.models_file),
        "upstreams": json.dumps(settings.upstreams),
        **({} if key is None else {"upstream_api_key": key.get_secret_value()}),
        "worker_name": "killed",
        "worker_port": "0",
        "lease_s": str(settings.lease_s),
        "reconcile_every_s": str(settings.reconcile_every_s),
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "worker", "--queues", "cpu"),
        env=os.environ | {f"FINETUNED_{name.upper()}": text for name, text in variables.items()},
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
