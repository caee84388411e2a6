"""The rotary embedding of queries with a dimension for heads, by vLLM's operator on a CPU."""

from __future__ import annotations

import pytest

from service.inference.engine import cpu
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
config = Lazy("vllm.config")
rotary = Lazy("vllm.model_executor.layers.rotary_embedding.base")
platforms = Lazy("vllm.platforms")

TOKENS, HEADS, PLAIN, ROTATED = 5, 2, 32, 64


def test_each_head_of_each_token_is_rotated_by_its_position(monkeypatch):
    embedding = rotary.RotaryEmbedding
    monkeypatch.setattr(embedding, "forward_cpu", embedding.forward_cpu)  # put back afterwards
    cpu.install_rope()
    platforms.current_platform.import_kernels()
    torch.manual_seed(0)
    with config.set_current_vllm_config(config.VllmConfig()):
        rotate = embedding(ROTATED, ROTATED, 64, 10_000.0, False, torch.float32)
    # Parts of wider rows, as in latent attention.
    query = torch.randn(TOKENS, HEADS, PLAIN + ROTATED)[..., PLAIN:]
    key = torch.randn(TOKENS, PLAIN + ROTATED)[:, PLAIN:].unsqueeze(1)
    angles = torch.arange(TOKENS)[:, None] * 10_000.0 ** (-torch.arange(0, ROTATED, 2) / ROTATED)
    turns = torch.polar(torch.ones_like(angles), angles)[:, None]

    def rotated(x):
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
        return torch.view_as_real(pairs * turns).flatten(-2)

    wanted = rotated(query), rotated(key)
    found = rotate.forward_cpu(torch.arange(TOKENS), query, key)
    torch.testing.assert_close(found, wanted)
    rows = query.reshape(TOKENS, -1).contiguous(), key.reshape(TOKENS, -1).contiguous()
    flat = rotate.forward_cpu(torch.arange(TOKENS), *rows)  # by vLLM's kernel, which is right here
    torch.testing.assert_close(flat, tuple(x.reshape(TOKENS, -1) for x in wanted))
