"""Corrections of vLLM 0.32 on CPUs: experts and waits.

Experts: in an engine that takes adapters, vLLM chooses kernels for experts that can take them, and
on a CPU has none: it starts Triton's, which fail at the first token. Our engines adapt no experts
(`--lora-target-modules`), so they can use the kernels of an engine without adapters. Its router for
CPUs leaves out the bias that steers the choice of experts in Ernie 4.5 and MiniMax-M2, unless the
experts are in groups: scores differ by 0.4 nats. One group of all experts has the same results.

Waits: vLLM's reader of a shared-memory queue spins for a second after each message before it
sleeps. On a GPU this saves microseconds. On a CPU, the engine's process spins while its worker
computes each step, and the worker spins after each request, on the cores that compute. The spin
also hides that a message may not wake a sleeping reader: ZeroMQ drops a wake-up that follows
another within about a millisecond, or that is sent before the reader has subscribed. vLLM looks for
such messages only every 5 s, which is how long a request then waits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.models.adapter_check import AdapterMismatch, BaseLayout


def install_experts(base: Path) -> None:
    """Let vLLM choose the kernels of a mixture's experts on CPUs as if there were no adapters."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu() or not _is_mixture(base):
        return
    from vllm.model_executor.layers.fused_moe.config import FusedMoEConfig

    before = FusedMoEConfig.__post_init__

    def without_adapters(self: Any) -> None:
        self.is_lora_enabled = False
        before(self)

    FusedMoEConfig.__post_init__ = without_adapters
    _choose_with_bias()


def _choose_with_bias() -> None:
    from vllm.model_executor.layers.fused_moe.router.cpu_router import CPURouter

    before = CPURouter.__init__

    def in_one_group(self: Any, *args: Any, **options: Any) -> None:
        before(self, *args, **options)
        has_bias = self.e_score_correction_bias is not None or self.scoring_func == "sigmoid"
        is_simple = self.scoring_func in ("softmax", "sigmoid") and not self.use_grouped_topk
        if has_bias and is_simple and self.custom_routing_function is None:
            self.use_grouped_topk, self.num_expert_group, self.topk_group = True, 1, 1

    CPURouter.__init__ = in_one_group


def _is_mixture(base: Path) -> bool:
    try:
        return bool(BaseLayout.read(base).has_experts)
    except (AdapterMismatch, OSError, ValueError):
        return False  # vLLM reports what is wrong with the folder


# A sent message wakes a sleeping reader within 0.1 ms; a step takes tens of ms.
_SPIN_S = 0.001
# The longest delay of a message whose wake-up is lost. An idle engine wakes this often.
_RECHECK_MS = 20


def install_wait() -> None:
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

        def wait(self, timeout_ms: int | None = None) -> None:
            """Return once there may be a message, or after `_RECHECK_MS`."""
            super().wait(_RECHECK_MS if timeout_ms is None else min(timeout_ms, _RECHECK_MS))

    shm_broadcast.SpinCondition = BriefSpin
