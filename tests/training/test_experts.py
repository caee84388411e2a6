"""Mixtures of experts in NF4, compared with a plain loop of transformers, bitsandbytes and PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
peft = Lazy("peft")
bnb = Lazy("bitsandbytes.nn")
functional = Lazy("bitsandbytes.functional")
parametrize = Lazy("torch.nn.utils.parametrize")
models = Lazy("service.training.model.models")
adapters = Lazy("service.training.model.adapters")

STEPS = 3


def rounded(weight: Any) -> Any:
    """What NF4 with double quantization makes of a weight."""
    packed, state = functional.quantize_4bit(weight, compress_statistics=True, quant_type="nf4")
    return functional.dequantize_4bit(packed, state)


def plain(folder: Path, linears: set[str]) -> Any:
    """The model in 16 bits, with these layers and all experts as NF4 rounds them."""
    config = transformers.AutoConfig.from_pretrained(folder)
    load = models._model_class(config).from_pretrained
    model = load(folder, dtype=torch.bfloat16)
    model.config.use_cache = False
    for name, module in model.named_modules():
        if name in linears:
            module.weight.data = rounded(module.weight.data)
        elif name.endswith("experts"):
            for weight in module.parameters(recurse=False):
                if weight.dim() == 3:
                    weight.data = rounded(weight.data)
    return model


def losses(model: Any, layers: list[str], *, checkpointing: bool) -> list[float]:
    """The losses of a few steps with an adapter."""
    torch.manual_seed(1)
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=layers))
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    ids = torch.randint(3, 1000, (2, 48), generator=torch.Generator().manual_seed(0))
    found = []
    for _ in range(STEPS):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(loss.detach()))
    return found


@pytest.fixture
def load(zoo_model, make_spec, tmp_path):
    """Load a family's model in NF4, as a training does."""

    def loaded(family: str) -> Any:
        spec = make_spec(tmp_path, base_model_path=zoo_model(family), quantization="nf4")
        return models.load_base(spec, models.ComputeDevice("cpu", torch.bfloat16))

    return loaded


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("family", ["Qwen3 MoE", "Llama 4", "DeepSeek-V3"])
def test_experts_in_nf4_train_like_the_plain_loop(load, zoo_model, family, checkpointing):
    base = load(family)
    layers = adapters.adaptable_layers(base)
    linears = {name for name, m in base.named_modules() if isinstance(m, bnb.Linear4bit)}
    reference = plain(zoo_model(family), linears)
    expected = losses(reference, layers, checkpointing=checkpointing)
    assert expected[-1] < expected[0]
    assert losses(base, layers, checkpointing=checkpointing) == pytest.approx(expected, abs=2e-3)


def test_experts_take_half_a_byte_for_each_weight(load, zoo_model):
    base = load("Qwen3 MoE")
    experts = [m for n, m in base.named_modules() if n.endswith("mlp.experts")]
    assert len(experts) == 2
    for one in experts:
        assert parametrize.is_parametrized(one)
        packed = sum(p.numel() * p.element_size() for p in one.parameters())
        assert packed == (one.gate_up_proj.numel() + one.down_proj.numel()) / 2


def test_the_weights_of_experts_are_not_kept_for_the_backward_pass(load):
    base = load("Qwen3 MoE")
    shapes = {(4, 128, 64), (4, 64, 128), (4, 64, 64)}  # of each layer's, also transposed
    kept = []

    def keep(tensor: Any) -> Any:
        kept.append(tuple(tensor.shape))
        return tensor

    ids = torch.arange(3, 51)[None]
    embedded = base.get_input_embeddings()(ids).detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = base(inputs_embeds=embedded, labels=ids).loss
    assert not shapes & set(kept)
    loss.backward()
    assert embedded.grad.any()
