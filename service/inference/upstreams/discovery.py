"""Discovery of a model's replicas, from addresses in the settings and names in DNS.

`http://host:8000` is one replica. `dns+http://name:8000` is one replica for each address record of
the name (a headless Service in Kubernetes), resolved again every few seconds. The URL of such a
replica keeps the name, as in `https://name@10.0.0.1:8000`: it is in the certificate, and service
meshes know the replica by it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from service.core import tasks

log = logging.getLogger(__name__)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a name to its addresses. Raises OSError if there are none."""

_DNS = "dns+"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Name:
    """A DNS name whose addresses are each a replica."""

    host: str
    port: int
    scheme: str = "http"

    def urls(self, addresses: Sequence[str]) -> list[str]:
        """Return the URLs of the replicas at these addresses."""
        start = f"{self.scheme}://{self.host}@"
        return [
            f"{start}{f'[{address}]' if ':' in address else address}:{self.port}"
            for address in addresses
        ]


def split_name(url: str) -> tuple[str, str | None]:
    """Return the URL of a replica without its name, and the name if it was found by one."""
    name = urlsplit(url).username
    return (url.replace(f"{name}@", "", 1), name) if name else (url, None)


def parse(url: str) -> str | Name:
    """Parse the URL of a replica, or a DNS name. Raises ValueError with a hint how to fix it."""
    url = url.strip().rstrip("/")
    is_name = url.startswith(_DNS)
    parts = urlsplit(url.removeprefix(_DNS))
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(
            f"the engine's address {url!r} must be http://HOST:PORT, https://HOST:PORT, "
            "dns+http://NAME:PORT or dns+https://NAME:PORT"
        )
    if parts.path or parts.query or parts.fragment:
        raise ValueError(f"the engine's address {url!r} must end after its port")
    port = parts.port  # raises ValueError for an invalid port
    return Name(parts.hostname, port or _PORTS[parts.scheme], parts.scheme) if is_name else url


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of all A and AAAA records, using the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return sorted({str(address[0]) for *_, address in found})


class Discovery:
    """Tracks the replicas of one model.

    Calls `on_change` with all URLs whenever they change. A failed lookup changes nothing: probes
    decide whether the replicas are alive.
    """

    def __init__(
        self,
        sources: Sequence[str],
        on_change: Callable[[Sequence[str]], None],
        *,
        resolve: Resolve = resolve,
        every_s: float = 5.0,
    ) -> None:
        self._sources = [parse(source) for source in sources]
        self._names = {source for source in self._sources if isinstance(source, Name)}
        self._on_change = on_change
        self._resolve = resolve
        self._every_s = every_s
        self._found: dict[Name, list[str]] = {}
        self._reported: list[str] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, *, patience_s: float) -> None:
        """Report known replicas, start DNS lookups, and wait for the first results."""
        self._report()
        first = {asyncio.create_task(self._look_up(name)): name for name in self._names}
        self._tasks = [*first]
        if first:
            await asyncio.wait(first, timeout=patience_s)
        self._tasks += [
            asyncio.create_task(
                tasks.keep("engine look-up", partial(self._follow, name, look_up)),
                name=f"look up {name.host}",
            )
            for look_up, name in first.items()
        ]

    async def change(self, sources: Sequence[str], *, patience_s: float) -> None:
        """Use other sources from now on. Names that stay keep what was found."""
        await self.close()
        self._sources = [parse(source) for source in sources]
        self._names = {source for source in self._sources if isinstance(source, Name)}
        await self.open(patience_s=patience_s)

    async def close(self) -> None:
        """Stop DNS lookups."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def _report(self) -> None:
        urls: dict[str, str] = {}
        for source in self._sources:
            known = self._found.get(source, []) if isinstance(source, Name) else [source]
            for url in known:
                urls.setdefault(split_name(url)[0], url)
        if list(urls.values()) != self._reported:
            self._reported = list(urls.values())
            self._on_change(self._reported)

    async def _look_up(self, name: Name) -> None:
        try:
            addresses = await self._resolve(name.host, name.port)
        except (OSError, UnicodeError) as e:
            log.warning("the host name %s of the engines was not found: %s", name.host, e)
            return
        if addresses:
            self._found[name] = name.urls(addresses)
            self._report()

    async def _follow(self, name: Name, first: asyncio.Task[None]) -> None:
        await asyncio.wait([first])
        while True:
            await asyncio.sleep(self._every_s)
            await self._look_up(name)
