"""Environment of child processes that load models."""

from __future__ import annotations

from pathlib import Path


def offline(cache: Path) -> dict[str, str]:
    """Return variables to set before any library is imported.

    Libraries then make no network calls, write only under `cache`, and do not load the compiler.
    """
    return {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": str(cache / "huggingface"),
        "HF_DATASETS_CACHE": str(cache / "datasets"),
        "TOKENIZERS_PARALLELISM": "false",
        # Nothing is compiled, and importing the compiler takes a fifth of a trainer's start.
        "TORCHDYNAMO_DISABLE": "1",
    }
