"""One engine for all tests that only send requests, with more adapters than it has room for."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from service.config import Settings
from service.core.redis import connect
from service.inference.upstreams import Timeouts
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from tests.inference.conftest import Client
from tests.inference.engine.support import (
    ALL_LINEAR,
    BASE,
    Engine,
    catalogued,
    name_of,
    register,
    settings_on,
    write_adapter,
)
from tests.models.folders import with_tools

SMALL_ADAPTERS = 60
SLOTS = 4
CACHE_SHARE = 0.1
"""Of the small adapters' bytes, on the engine's disk. What was used in the last seconds stays."""
STRONG: dict[str, dict[str, Any]] = {
    "one": {"seed": 101, "rank": 8, "modules": ALL_LINEAR, "strength": 0.4},
    "two": {"seed": 102, "rank": 8, "modules": ALL_LINEAR, "strength": 0.4},
    # Adapters that the tests of merging also merge, for comparison.
    "voice": {"seed": 3, "rank": 8, "modules": ALL_LINEAR, "strength": 0.15},
}
# Its threads would block each other, for long if other tests use the cores.
ONE_CORE = {"VLLM_CPU_OMP_THREADS_BIND": str(max(os.sched_getaffinity(0)))}
MARKERS = (
    "<tool_call>",
    "</tool_call>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    '<|"|>',
    "<think>",
    "</think>",
    "<|python_tag|>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
)
"""Words of the forms of calls, which tokenizers of such models have as one token."""
BROKEN = ("stranger", "spoiled", "lost")
"""Made for another model; damaged in storage; gone from storage."""


@dataclass
class EngineSite:
    """A running engine and its parts."""

    engine: Engine
    settings: Settings
    names: list[str]
    """Of the small adapters."""
    start_cpu: Any
    """Of the server, with those of its processes that had already ended, when it was ready."""

    @property
    def url(self) -> str:
        return self.engine.url

    def folders(self) -> int:
        """Adapters on the engine's disk."""
        return len(list(self.settings.adapter_cache.glob("*/*/adapter_model.safetensors")))


@pytest.fixture(scope="session")
def engine_site(
    demo_model_path: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineSite]:
    """The engine for the whole session. Its adapters are in storage and in the registry."""
    folder = tmp_path_factory.mktemp("engine-site")
    small = {f"a{seed:02}": {"seed": seed, "strength": 1.0} for seed in range(SMALL_ADAPTERS)}
    made = {name: folder / "made" / name for name in [*small, *STRONG]}
    for name, recipe in {**small, **STRONG}.items():
        write_adapter(made[name], demo_model_path, **recipe)
    size = (made["a00"] / "adapter_model.safetensors").stat().st_size
    settings = settings_on(
        folder,
        # Apart from the database that other tests empty.
        urlsplit(redis_url)._replace(path="/1").geturl(),
        max_loras=SLOTS,
        max_cpu_loras=SLOTS,
        max_lora_rank=8,
        max_model_len=1024,
        adapter_cache_bytes=int(SMALL_ADAPTERS * size * CACHE_SHARE),
        adapter_sweep_s=0.5,
        lookup_cache_s=0.1,
        gpu_sharing="time-slice",
        engine_drain_s=5,
    )
    entry = catalogued(settings, with_tools(folder / "base", demo_model_path))
    asyncio.run(_fill(settings, made, folder))
    env = {
        "PATH": str(_without_compilers(folder)),
        "VLLM_CACHE_ROOT": str(folder / "vllm-cache"),
        **ONE_CORE,
    }
    with Engine(settings, entry, folder / "engine.log", env=env) as engine:
        start_cpu = psutil.Process(engine.pid).cpu_times()
        yield EngineSite(engine, settings, [name_of(name) for name in small], start_cpu)


@pytest.fixture
async def client(
    engine_site: EngineSite, gateway: Callable[..., Awaitable[Client]]
) -> AsyncIterator[Client]:
    """A client of a gateway in front of the engine."""
    redis = connect(engine_site.settings.redis_url.get_secret_value())
    models = ModelRegistry(redis, Catalogue(engine_site.settings.models_file), cache_s=0.0)
    # The machine may have other work to do.
    patient = Timeouts(connect_s=10, first_byte_s=240, between_chunks_s=240)
    yield await gateway([engine_site.url], base=BASE, models=models, timeouts=patient)
    await redis.aclose(close_connection_pool=True)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_path: Path) -> Any:
    """The tokenizer of a tiny model, with the markers."""
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(tiny_model_path)
    found.add_tokens(list(MARKERS), special_tokens=False)
    return found


async def _fill(settings: Settings, made: dict[str, Path], folder: Path) -> None:
    redis = connect(settings.redis_url.get_secret_value())
    await redis.flushdb()
    await redis.aclose(close_connection_pool=True)
    broken = {name: shutil.copytree(made["one"], folder / "made" / name) for name in BROKEN}
    _rename_layers(broken["stranger"] / "adapter_model.safetensors")
    await register(settings, {name_of(name): path for name, path in {**made, **broken}.items()})
    stored = Path(settings.storage_url.removeprefix("file://")) / "adapters"
    spoiled = stored / "spoiled" / "adapter_model.safetensors"
    raw = bytearray(spoiled.read_bytes())
    raw[-1] ^= 0xFF
    spoiled.write_bytes(raw)
    shutil.rmtree(stored / "lost")


def _rename_layers(file: Path) -> None:
    """Move all tensors to layers that a model of this size does not have."""
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + length].replace(b".layers.", b".layers.9")
    file.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])


def _without_compilers(parent: Path) -> Path:
    """Return a PATH as in our images. vLLM calls lscpu to find the cores."""
    folder = parent / "bin"
    folder.mkdir()
    found = shutil.which("lscpu")
    assert found is not None
    (folder / "lscpu").symlink_to(found)
    return folder
