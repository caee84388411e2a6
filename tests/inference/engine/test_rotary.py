"""Rotary embeddings of vLLM, compared with what they should compute."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from service.inference.engine import rotary as ours
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
config = Lazy("vllm.config")
rotary = Lazy("vllm.model_executor.layers.rotary_embedding.base")
platforms = Lazy("vllm.platforms")
llama4 = Lazy("vllm.model_executor.models.llama4")
lora_model = Lazy("vllm.lora.lora_model")
peft_helper = Lazy("vllm.lora.peft_helper")

TOKENS, HEADS, PLAIN, ROTATED = 5, 2, 32, 64


def test_each_head_of_each_token_is_rotated_by_its_position(monkeypatch, tmp_path):
    embedding = rotary.RotaryEmbedding
    monkeypatch.setattr(embedding, "forward_cpu", embedding.forward_cpu)  # put back afterwards
    ours.install(tmp_path)
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


def test_adapters_of_llama_4_are_reordered_as_its_weights(monkeypatch, tmp_path):
    made = lora_model.LoRAModel
    monkeypatch.setattr(made, "from_lora_tensors", made.from_lora_tensors)
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    text = {"model_type": "llama4_text", "hidden_size": 32, **heads}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": text}))
    ours.install(tmp_path)
    tensors = {}
    for module, outputs in {"q_proj": 32, "k_proj": 16, "v_proj": 16}.items():
        name = f"base_model.model.model.layers.0.self_attn.{module}"
        tensors[f"{name}.lora_A.weight"] = torch.randn(4, 32)
        tensors[f"{name}.lora_B.weight"] = torch.randn(outputs, 4)
    helper = peft_helper.PEFTHelper(r=4, lora_alpha=4, target_modules=["q_proj"])
    model = made.from_lora_tensors(1, tensors, helper, device="cpu")
    permute = llama4.Llama4ForCausalLM.permute_qk_weight_for_rotary
    for name, lora in model.loras.items():
        given = tensors[f"base_model.model.{name}.lora_B.weight"]
        owner = SimpleNamespace(config=SimpleNamespace(**heads))
        _, wanted = permute(owner, f"{name}.weight", given)
        torch.testing.assert_close(lora.lora_b, wanted)
        assert torch.equal(lora.lora_b, given) is name.endswith("v_proj")
    assert len(model.loras) == 3


def test_adapters_of_keys_that_are_values_too_change_both(monkeypatch, tmp_path):
    made = lora_model.LoRAModel
    monkeypatch.setattr(made, "from_lora_tensors", made.from_lora_tensors)
    kinds = ["sliding_attention", "full_attention"]
    text = {"model_type": "gemma4_text", "attention_k_eq_v": True, "layer_types": kinds}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": text}))
    ours.install(tmp_path)
    attention = "model.language_model.layers.{}.self_attn.{}"
    given = {
        f"base_model.model.{attention.format(layer, 'k_proj')}.lora_{side}.weight": torch.randn(
            4, 4
        )
        for layer in (0, 1)
        for side in "AB"
    }
    helper = peft_helper.PEFTHelper(r=4, lora_alpha=4, target_modules=["k_proj"])
    loras = made.from_lora_tensors(1, given, helper, device="cpu").loras
    keys, values = (loras[attention.format(1, part)] for part in ("k_proj", "v_proj"))
    assert torch.equal(keys.lora_a, values.lora_a)
    assert torch.equal(keys.lora_b, values.lora_b)
    assert len(loras) == 3  # the values of the other layer have their own
