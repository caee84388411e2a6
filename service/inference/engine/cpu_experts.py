"""Experts of a mixture on CPUs, in an engine that takes adapters.

vLLM 0.32 chooses kernels for experts that can take adapters, and on a CPU has none: it starts
Triton's, which fail at the first token. Our engines adapt no experts (`--lora-target-modules`), so
they can use the kernels of an engine without adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.models.adapter_check import AdapterMismatch, BaseLayout


def install(base: Path) -> None:
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


def _is_mixture(base: Path) -> bool:
    try:
        return bool(BaseLayout.read(base).expert_blocks)
    except (AdapterMismatch, OSError, ValueError):
        return False  # vLLM reports what is wrong with the folder
