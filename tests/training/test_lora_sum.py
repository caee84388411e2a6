"""Tests that layers which add in place compute what PEFT's do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lazy import Lazy
from tests.training.specs import spec_of
from tests.training.test_estimate import chosen

pytestmark = pytest.mark.slow

torch = Lazy("torch")
adapters = Lazy("service.training.model.adapters")
head = Lazy("service.training.model.head")
lora_sum = Lazy("service.training.model.adapters")
models = Lazy("service.training.model.models")


def adapted(
    folder: Path, dtype: str, quantization: str = "none", device: str = "cpu", **lora: Any
) -> Any:
    """The tiny model with an adapter whose product is not zero."""
    spec = spec_of(
        job_id="x",
        base_model="tiny",
        base_model_path=folder,
        training_file=folder,
        output_dir=folder,
        **chosen(quantization=quantization, lora={"r": 4, **lora}).model_dump(),
    )
    torch.manual_seed(0)
    base = models.load_base(spec, models.ComputeDevice(device, getattr(torch, dtype)))
    model = adapters.add_adapter(base, spec, spec.hyperparameters.lora.to_shape())
    models.keep_adapter_in_fp32(model)
    head.use_frozen_head(base)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model.train()


def step(model: Any, dtype: str = "float32") -> tuple[float, Any]:
    """The loss of a batch, and the gradient of the adapter."""
    device = model.device.type
    ids = torch.arange(5, 133, device=device).view(2, 64)
    model.zero_grad()
    with torch.autocast(device, getattr(torch, dtype), enabled=dtype != "float32"):
        outputs = model(input_ids=ids, labels=ids, fused_lm_head=True)
    loss = -outputs.log_probs.mean()
    loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.requires_grad]
    return loss.item(), torch.cat(gradients)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_losses_and_gradients_are_those_of_peft(
    tiny_model_path, device, quantization, dtype, tolerance
):
    model = adapted(tiny_model_path, dtype, quantization, device)
    loss, gradient = step(model, dtype)
    lora_sum.sum_in_place(model)
    own_loss, own_gradient = step(model, dtype)
    assert own_loss == pytest.approx(loss, rel=tolerance / 10)
    assert float((own_gradient - gradient).norm()) < tolerance * float(gradient.norm())


def test_without_its_adapter_a_model_is_its_base(tiny_model_path):
    model = adapted(tiny_model_path, "float32")
    lora_sum.sum_in_place(model)
    ids = torch.arange(5, 69)[None]
    with torch.no_grad():
        adapted_logits = model(input_ids=ids).logits
        with model.disable_adapter():
            base_logits = model(input_ids=ids).logits
        model.unload()
        plain_logits = model.get_base_model()(input_ids=ids).logits
    assert torch.equal(base_logits, plain_logits)
    assert not torch.allclose(base_logits, adapted_logits)


def test_merged_weights_are_not_added_twice(tiny_model_path):
    model = adapted(tiny_model_path, "float32").eval()
    ids = torch.arange(5, 69)[None]
    lora_sum.sum_in_place(model)
    with torch.no_grad():
        apart = model(input_ids=ids).logits
        model.merge_adapter()
        torch.testing.assert_close(model(input_ids=ids).logits, apart, rtol=1e-3, atol=1e-4)
