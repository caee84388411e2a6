"""Tests that vLLM's kernels for adapters compile for each generation of GPUs, without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from service.inference.engine.kernels import Compiled

CAPABILITIES = ("7.5", "8.0", "8.9", "9.0")  # T4, A100, L4 and RTX 4090, H100


@pytest.mark.slow
def test_the_kernels_compile_and_fit_the_shared_memory(adapted_vllm):
    """They are the only Triton kernels of a job and its model: the trainer has none."""
    done = subprocess.run(
        [sys.executable, "-m", "service.inference.engine.kernels", *CAPABILITIES],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [Compiled(**one) for one in json.loads(done.stdout.splitlines()[-1])]
    assert [one for one in found if one.fault] == []
    for capability in CAPABILITIES:
        names = {one.kernel for one in found if one.capability == capability}
        assert names == {"_lora_shrink_kernel", "_lora_expand_kernel"}
    assert all(one.code_bytes > 10_000 for one in found)
