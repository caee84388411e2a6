"""The dtype that a training computes with, without torch, so that plans can use it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

Dtype = Literal["bfloat16", "float16", "float32"]

# The activations of these models exceed the range of float16. vLLM refuses it for them, too, and
# uses float32 (vllm/config/model.py).
_UNSTABLE: Final = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
_BF16_CPU_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})


def dtype_of(device: str, model_type: object, *, has_bf16: bool) -> Dtype:
    """Return the dtype on a device: bfloat16 if it has that, and else what the model allows.

    Otherwise float16 on CUDA, and float32 on a CPU. (Hardware without instructions for bfloat16
    emulates it, which is slower.) `model_type` is that of config.json.
    """
    if has_bf16:
        return "bfloat16"
    return "float32" if device == "cpu" or model_type in _UNSTABLE else "float16"


def cpu_has_bf16() -> bool:
    """Return whether this machine's processor has instructions for bfloat16."""
    return not _BF16_CPU_FLAGS.isdisjoint(_cpu_flags())


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
