"""Rotary embeddings of queries with a dimension for heads, on CPUs.

vLLM 0.32's kernel for CPUs reads queries and keys as rows of heads side by side. The latent
attention of DeepSeek's models has a dimension for heads, so the kernel rotated the wrong numbers
for all tokens but the first: scores differed by 0.6 nats from transformers' in tiny models.
"""

from __future__ import annotations

from typing import Any


def install() -> None:
    """Let vLLM rotate queries that have a dimension for heads without its kernel."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding

    kernel = RotaryEmbedding.forward_cpu

    def forward(self: Any, positions: Any, query: Any, key: Any = None) -> Any:
        if query.dim() > 2:
            return self.forward_native(positions, query, key)
        return kernel(self, positions, query, key)

    RotaryEmbedding.forward_cpu = forward
