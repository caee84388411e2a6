"""Tests of the engine core as a forked process."""

from __future__ import annotations

import socket
from typing import Any

import psutil

from service.inference.engine.cpu_fork import _CoreContext


def _say_ports(said: Any) -> None:
    said.put([c.laddr.port for c in psutil.Process().net_connections("tcp")])


def test_the_core_does_not_hold_the_port_of_its_api_server():
    context = _CoreContext()
    said = context.SimpleQueue()
    with (
        socket.socket() as bound,
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
    ):
        bound.bind(("127.0.0.1", 0))
        core = context.Process(target=_say_ports, args=(said,))
        core.start()
        ports = said.get()
        core.join()
        assert core.exitcode == 0
        assert bound.getsockname()[1] not in ports
        assert listening.getsockname()[1] not in ports
        assert client.getsockname()[1] in ports
        listening.accept()[0].close()  # the parent's is open
