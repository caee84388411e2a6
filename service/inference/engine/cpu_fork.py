"""Faster start of an engine on a CPU: only the API server imports vLLM.

On a CPU, vLLM 0.32 spawns both of its child processes, and each imports vLLM again. On a GPU, it
forks them from the API server. The core schedules and computes nothing, so it can be forked here
too. So can the worker if it computes on one CPU core: restricting the process to this core is then
enough. With several, the worker is spawned, because its OpenMP library reads which thread belongs
on which core when it is loaded.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import stat
from collections.abc import Callable
from multiprocessing.context import ForkContext, ForkProcess, SpawnContext
from pathlib import Path
from typing import TypeVar

from service.inference.engine.process import die_with_parent

T = TypeVar("T")

_TCP = (socket.AF_INET, socket.AF_INET6)
_BINDING = "VLLM_CPU_OMP_THREADS_BIND"


class _Core(ForkProcess):
    """A forked process that ends with its parent.

    vLLM loads its plugins, which do that, only in processes that it spawns.
    """

    def run(self) -> None:
        die_with_parent()
        release_ports()
        super().run()


class _Worker(_Core):
    """A forked process that computes on one core."""

    def run(self) -> None:
        os.sched_setaffinity(0, {int(os.environ[_BINDING])})
        super().run()


def release_ports() -> None:
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


class _WorkerContext(ForkContext):
    Process = _Worker


def _of_workers() -> ForkContext | SpawnContext:
    """Return how to start workers, which depends on the cores that they are bound to."""
    if os.environ.get(_BINDING, "").isdigit():
        return _WorkerContext()
    return multiprocessing.get_context("spawn")


def _run_here(inspect: Callable[[], T]) -> T:
    """Inspect the model's class in this process.

    vLLM starts another one, which imports vLLM again, so that the API server does not use the GPU.
    It keeps the result in a file, but a new container has none.
    """
    return inspect()


def install() -> None:
    """Fork the engine's processes from this process if the platform is a CPU."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.models import registry
    from vllm.v1.engine import utils
    from vllm.v1.executor import multiproc_executor

    utils.get_mp_context = _CoreContext
    multiproc_executor.get_mp_context = _of_workers
    registry._run_in_subprocess = _run_here  # noqa: SLF001
