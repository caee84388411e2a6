"""Faster start of an engine on a CPU: its core is forked from the API server.

On a CPU, vLLM 0.32 starts both of its child processes anew, and each imports vLLM again. Only the
worker needs that: its OpenMP library reads the binding of its threads when it is loaded. The core
schedules and computes nothing, so it is forked, as vLLM does on a GPU.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from multiprocessing.context import ForkContext, ForkProcess
from pathlib import Path

from service.inference.engine.process import die_with_parent

_TCP = (socket.AF_INET, socket.AF_INET6)


class _Core(ForkProcess):
    """A forked process that ends with its parent.

    vLLM loads its plugins, which see to that, only in processes that it starts anew.
    """

    def run(self) -> None:
        die_with_parent()
        _release_ports()
        super().run()


def _release_ports() -> None:
    """Close what this process inherited of TCP servers.

    Otherwise the core would hold the port of the API server. When vLLM stops, it looks for
    processes that hold it, and exits with 1 if one of them is a zombie.
    """
    inherited = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in inherited:
        with contextlib.suppress(OSError):
            if _is_server(descriptor):
                os.dup2(nothing, descriptor)  # the parent's object still has this number
    os.close(nothing)


def _is_server(descriptor: int) -> bool:
    """Return whether a descriptor is a TCP socket with a port and no peer."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    with socket.socket(fileno=os.dup(descriptor)) as found:
        if found.type != socket.SOCK_STREAM or found.family not in _TCP:
            return False
        with contextlib.suppress(OSError):
            found.getpeername()
            return False
        return bool(found.getsockname()[1])


class _CoreContext(ForkContext):
    Process = _Core


def install() -> None:
    """Fork the engine's core from this process if the platform is a CPU."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.v1.engine import utils

    utils.get_mp_context = _CoreContext
