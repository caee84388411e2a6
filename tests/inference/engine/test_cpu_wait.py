"""Tests of the wait of vLLM's queues on a CPU."""

from __future__ import annotations

import threading

import pytest
import zmq

from service.inference.engine import cpu
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

shm_broadcast = Lazy("vllm.distributed.device_communicators.shm_broadcast")


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
