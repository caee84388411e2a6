"""`doctor --egress`: finds connections of the service's processes to other machines.

Inspects the sockets of all processes repeatedly, and reports connections to anything but loopback
and the addresses in the settings.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from service import offline
from service.config import Settings
from service.standalone.ports import running_up

_INTERVAL_S: Final = 0.05
_DNS: Final = 53
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
_IS_OURS: Final = re.compile(
    r"(?:^|/)finetuned-server\s(?!doctor)|-m\s+service\.(?:cli\s+(?!doctor)|training|inference"
    r"|datasets|exporting)"
)
Address = tuple[str, int]


@dataclass(frozen=True, order=True)
class Connection:
    """A connection that a process opened, or a packet that it sent."""

    process: str
    address: str
    port: int
    protocol: str

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.process} → {host}:{self.port} ({self.protocol})"


@dataclass
class Observations:
    """Processes and connections that were seen."""

    processes: dict[int, str] = field(default_factory=dict)
    connections: set[Connection] = field(default_factory=set)
    unset: dict[str, set[str]] = field(default_factory=dict)
    """Variables that keep libraries offline and are not set, by process."""
    hidden: set[str] = field(default_factory=set)
    """Processes whose sockets are not visible to this process."""

    def outside(self, allowed: Mapping[Address, str]) -> list[Connection]:
        """Return the connections to anything but loopback and the allowed addresses, sorted."""
        return sorted(
            c
            for c in self.connections
            if not _is_loopback(c.address) and (c.address, c.port) not in allowed
        )


def watch(data_dir: Path, seconds: float) -> Observations:
    """Inspect the sockets of the service's processes for this many seconds."""
    seen = Observations()
    end = time.monotonic() + seconds
    while True:
        for process in _processes(data_dir):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                _inspect(process, seen)
        if time.monotonic() >= end:
            return seen
        time.sleep(_INTERVAL_S)


def _inspect(process: psutil.Process, seen: Observations) -> None:
    if process.pid not in seen.processes:
        seen.processes[process.pid] = name = f"{_name(process.cmdline())} ({process.pid})"
        with contextlib.suppress(psutil.AccessDenied):
            environ = process.environ()
            unset = {k for k, v in offline.VARIABLES.items() if environ.get(k) != v}
            # Processes that change their title overwrite what the kernel shows as environment.
            if unset and "PATH" in environ:
                seen.unset[name] = unset
    name = seen.processes[process.pid]
    try:
        sockets = process.net_connections("inet")
        is_here = _network_of(process.pid) == _network_of(os.getpid())
    except (psutil.AccessDenied, PermissionError):
        is_here = False
    if not is_here:
        seen.hidden.add(name)
        return
    listening = {s.laddr.port for s in sockets if s.status == psutil.CONN_LISTEN}
    for each in sockets:
        if each.raddr and each.laddr.port not in listening:
            kind = "tcp" if each.type == socket.SOCK_STREAM else "udp"
            address = each.raddr.ip.removeprefix("::ffff:")
            seen.connections.add(Connection(name, address, each.raddr.port, kind))


def _network_of(pid: int) -> str:
    """Return the network namespace of a process, whose sockets other namespaces do not see."""
    with contextlib.suppress(FileNotFoundError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return ""  # not on Linux, or ended


def _processes(data_dir: Path) -> Iterator[psutil.Process]:
    """Yield the processes of `up` on this folder, or else all of the service on this machine."""
    up = running_up(data_dir)
    roots = {up[0]} if up is not None else set(_by_command())
    found: dict[int, psutil.Process] = {}
    for pid in roots - {os.getpid()}:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            found |= {each.pid: each for each in (root, *root.children(recursive=True))}
    found.pop(os.getpid(), None)
    yield from found.values()


def _by_command() -> Iterator[int]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _IS_OURS.search(" ".join(process.cmdline())):
                yield process.pid


def _name(command: list[str]) -> str:
    """Return a short name of a process for a person."""
    words = [word for word in command if not word.startswith("-")]
    for module in ("service.training", "service.datasets", "service.exporting"):
        if module in words:
            return module.removeprefix("service.")
    if "service.inference.engine.server" in words:
        return "engine"
    for place, word in enumerate(words):
        if word == "service.cli" or Path(word).name == "finetuned-server":
            return " ".join(words[place + 1 : place + 2]) or Path(word).name
    return Path(command[0].partition(" ")[0]).name if command else "?"


def _is_loopback(address: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    return False


def allowed(settings: Settings, environ: Mapping[str, str]) -> dict[Address, str]:
    """Return the addresses that the settings name, with the setting that names each."""
    named = [
        *(("FINETUNED_REDIS_URL", url) for url in _redis(settings.redis_url.get_secret_value())),
        *(
            ("FINETUNED_UPSTREAMS", url.strip().removeprefix("dns+"))
            for urls in settings.engine_urls.values()
            for url in urls.split(",")
        ),
        *(("FINETUNED_MLFLOW_TRACKING_URIS", url) for url in settings.mlflow_tracking_uris),
        *(
            ("FINETUNED_WEBHOOK_ALLOWED_HOSTS", f"{scheme}://{host}")
            for host in settings.webhook_allowed_hosts
            for scheme in ("http", "https")
        ),
        *(
            (name, environ[name])
            for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", *_otlp(environ))
            if name in environ
        ),
    ]
    if settings.storage_url.startswith("s3://") and "AWS_ENDPOINT_URL" not in environ:
        bucket = urlsplit(settings.storage_url).netloc
        region = environ.get("AWS_REGION", "us-east-1")
        host = f"s3.{region}.amazonaws.com"
        named += [("FINETUNED_STORAGE_URL", f"https://{h}") for h in (host, f"{bucket}.{host}")]
    if (settings.oidc_jwks or "").startswith("https://"):
        named.append(("FINETUNED_OIDC_JWKS", str(settings.oidc_jwks)))
    if settings.oidc_client_id and settings.oidc_token_endpoint:
        named.append(("FINETUNED_OIDC_TOKEN_ENDPOINT", settings.oidc_token_endpoint))
    elif settings.oidc_client_id and settings.oidc_issuer:
        named.append(("FINETUNED_OIDC_ISSUER", settings.oidc_issuer))
    if settings.audit_witness_url:
        named.append(("FINETUNED_AUDIT_WITNESS_URL", settings.audit_witness_url))
    if settings.encryption_vault_address:
        named.append(("FINETUNED_ENCRYPTION_VAULT_ADDRESS", str(settings.encryption_vault_address)))
    if settings.ray_address:
        named.append(("FINETUNED_RAY_ADDRESS", f"ray://{settings.ray_address.split('//')[-1]}"))
    found: dict[Address, str] = {}
    for name, url in named:
        for address in _addresses(url):
            found[address] = name
    # Names of these hosts are looked up, so their name servers are needed as well.
    if any(not _is_address(urlsplit(url).hostname or "") for _, url in named):
        found |= {(server, _DNS): "/etc/resolv.conf" for server in _name_servers()}
    return found


def _otlp(environ: Mapping[str, str]) -> list[str]:
    pattern = re.compile(r"OTEL_EXPORTER_OTLP(_[A-Z]+)?_ENDPOINT")
    return sorted(name for name in environ if pattern.fullmatch(name))


def _redis(url: str) -> Iterable[str]:
    """Yield a URL for each server that a Redis URL names: Sentinel's has several."""
    scheme, _, rest = url.partition("://")
    hosts = rest.partition("/")[0].rpartition("@")[2]
    return [f"{scheme.partition('+')[0]}://{host}" for host in hosts.split(",")]


def _addresses(url: str) -> Iterator[Address]:
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    if parts.hostname is None or port is None:
        return
    with contextlib.suppress(OSError):
        for *_, address in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
            yield str(address[0]), port


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return host == "localhost"


def _name_servers() -> list[str]:
    with contextlib.suppress(OSError):
        lines = Path("/etc/resolv.conf").read_text("utf-8").splitlines()
        return [line.split()[1] for line in lines if re.match(r"nameserver\s+\S", line)]
    return []
