"""Environment of child processes that load models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from service.offline import VARIABLES


def offline(cache: Path) -> dict[str, str]:
    """Return variables to set before any library is imported.

    Libraries then make no network calls, write only under `cache`, and do not load the compiler.
    """
    return {
        **VARIABLES,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": str(cache / "huggingface"),
        "HF_DATASETS_CACHE": str(cache / "datasets"),
        "TOKENIZERS_PARALLELISM": "false",
        # Nothing is compiled, and importing the compiler takes a fifth of a trainer's start.
        "TORCHDYNAMO_DISABLE": "1",
    }


# torch reads all of them, the general one first.
_ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")


def allocator(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the setting of torch's allocator of GPU memory, unless the operator has chosen one.

    The parts of a batch have different lengths. With segments of fixed sizes, the memory between
    their tensors is lost to later ones, so a run can end at a part that is no larger than others.
    """
    if any(name in environ for name in _ALLOCATOR):
        return {}
    return {_ALLOCATOR[0]: "expandable_segments:True"}
