"""Tests of an engine on a CPU: forked processes, and waits of vLLM's queues."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

import psutil
import pytest
import zmq

from service.inference.engine import cpu
from service.inference.engine.cpu_fork import _CoreContext, _of_workers
from tests.lazy import Lazy


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


def _say_cores(said: Any) -> None:
    said.put(psutil.Process().cpu_affinity())


def test_the_worker_of_one_core_is_a_fork_that_runs_on_this_core(monkeypatch):
    core = max(os.sched_getaffinity(0))
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", str(core))
    context = _of_workers()
    said = context.SimpleQueue()
    worker = context.Process(target=_say_cores, args=(said,))
    worker.start()
    assert said.get() == [core]
    worker.join()
    assert (context.get_start_method(), worker.exitcode) == ("fork", 0)


@pytest.mark.parametrize("cores", ["0,1", "0-3", "auto", "nobind", "0|1"])
def test_any_other_worker_is_started_anew_with_its_own_openmp(monkeypatch, cores):
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", cores)
    assert _of_workers().get_start_method() == "spawn"


shm_broadcast = Lazy("vllm.distributed.device_communicators.shm_broadcast")


@pytest.mark.slow
@pytest.mark.parametrize("timeout_ms", [None, 3_600_000])
def test_a_reader_looks_for_messages_that_did_not_wake_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path, timeout_ms: int | None
):
    module = "vllm.distributed.device_communicators.shm_broadcast"
    monkeypatch.setattr(f"{module}.SpinCondition", shm_broadcast.SpinCondition)
    cpu.install_wait()
    with zmq.Context() as context:
        reader = shm_broadcast.SpinCondition(True, context, f"ipc://{tmp_path}/nobody-writes")
        try:
            reader.last_read = 0.0  # long ago, so that it sleeps
            waiting = threading.Thread(target=reader.wait, args=(timeout_ms,), daemon=True)
            waiting.start()
            waiting.join(60)
            assert not waiting.is_alive()
        finally:
            for name in ("local_notify_socket", "write_cancel_socket", "read_cancel_socket"):
                getattr(reader, name).close(linger=0)
