"""Replacement of vLLM's busy waits, for models that run on a CPU.

vLLM 0.32's reader of a shared-memory queue spins for a second after each message before it sleeps.
On a GPU this saves microseconds. On a CPU, the engine's process spins while its worker computes
each step, and the worker spins after each request, on the cores that compute.
"""

from __future__ import annotations

from typing import Any

# A sent message wakes a sleeping reader within 0.1 ms; a step takes tens of ms.
_SPIN_S = 0.001
# A message sent before the reader has subscribed does not wake it.
_SUBSCRIBE_S = 1.0


def install() -> None:
    """Replace the wait of vLLM's queues in this process if the platform is a CPU."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.distributed.device_communicators import shm_broadcast

    class BriefSpin(shm_broadcast.SpinCondition):
        def __init__(self, is_reader: bool, *args: Any, **options: Any) -> None:
            super().__init__(is_reader, *args, **options)
            if is_reader:
                self.busy_loop_s = _SPIN_S
                self.last_read += _SUBSCRIBE_S

    shm_broadcast.SpinCondition = BriefSpin
