"""What keeps libraries from making connections.

Hugging Face's libraries, vLLM, Ray and others look for updates, fetch files and report their usage
unless told not to. Every command of the service sets these variables before it imports any of them,
and its child processes inherit them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Final

VARIABLES: Final[Mapping[str, str]] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "USE_HUB_KERNELS": "0",  # transformers
    "DO_NOT_TRACK": "1",
}
"""Variables that no setting of the operator changes: the service downloads nothing."""

MIRRORS: Final[Mapping[str, str]] = {
    # Without the package flashinfer-cubin, vLLM on a GPU asks NVIDIA's server for kernels when it
    # starts, and chooses others if there is no answer. Nothing listens on this port.
    "FLASHINFER_CUBINS_REPOSITORY": "http://127.0.0.1:9/",
    # gpt-oss: a vocabulary that is otherwise downloaded from OpenAI. An error names the file that
    # is missing from this folder.
    "TIKTOKEN_ENCODINGS_BASE": "/var/lib/finetuned/encodings",
}
"""Places from which libraries fetch files, unless the operator names a mirror."""


def apply(environ: MutableMapping[str, str]) -> None:
    """Set the variables in an environment, usually that of this process."""
    environ.update(VARIABLES)
    for name, value in MIRRORS.items():
        environ.setdefault(name, value)


def refuse_hub_kernels() -> None:
    """Let the import of the package `kernels` fail in this process, even if it is installed.

    It fetches native code from a hub, or loads it from a cache that nothing has verified. On
    processors with AVX512-BF16, bitsandbytes asks it for a kernel when it is imported, and else
    uses its own.
    """
    sys.modules["kernels"] = None  # type: ignore[assignment]
    # It would advise to install the package. This logger has no other message.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
