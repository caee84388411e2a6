"""Faster start of an engine on a CPU: its core is forked from the API server.

On a CPU, vLLM 0.32 starts both of its child processes anew, and each imports vLLM again. Only the
worker needs that: its OpenMP library reads the binding of its threads when it is loaded. The core
schedules and computes nothing, so it is forked, as vLLM does on a GPU.
"""

from __future__ import annotations

from multiprocessing.context import ForkContext, ForkProcess

from service.inference.engine.process import die_with_parent


class _Core(ForkProcess):
    """A forked process that ends with its parent.

    vLLM loads its plugins, which see to that, only in processes that it starts anew.
    """

    def run(self) -> None:
        die_with_parent()
        super().run()


class _CoreContext(ForkContext):
    Process = _Core


def install() -> None:
    """Fork the engine's core from this process if the platform is a CPU."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.v1.engine import utils

    utils.get_mp_context = _CoreContext
