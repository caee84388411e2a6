"""Tests of the trainer that need CUDA."""

from __future__ import annotations

import pytest

from service.training import Started, StepDone, Succeeded
from tests.lazy import Lazy
from tests.training.test_batches import losses, rows

torch = Lazy("torch")
transformers = Lazy("transformers")
attention = Lazy("service.training.model.attention")
batches = Lazy("service.training.data.batches")
host_inputs = Lazy("service.training.model.models")
models = Lazy("service.training.model.models")

pytestmark = [pytest.mark.gpu, pytest.mark.e2e]


@pytest.mark.parametrize("quantization", ["nf4", "none"])
def test_training_runs_on_the_gpu_and_learns(start, make_spec, tmp_path, quantization):
    spec = make_spec(tmp_path / "out", quantization=quantization)
    trainer = start(spec)
    assert trainer.wait() == 0, trainer.log.read_text()
    (started,) = trainer.of(Started)
    assert started.device.startswith("cuda")
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    assert started.dtype == ("bfloat16" if has_bf16 else "float16")
    steps = trainer.of(StepDone)
    assert steps[-1].train_loss < steps[0].train_loss
    assert trainer.of(Succeeded)


def test_inputs_of_layers_leave_the_gpu_and_the_gradients_stay_the_same(tiny_model_path):
    found = {}
    for on_host in (False, True):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            tiny_model_path, dtype=torch.float32, device_map={"": 0}
        ).train()
        if on_host:
            host_inputs.keep_inputs_on_host(model)
        model.gradient_checkpointing_enable({"use_reentrant": False})
        tokens = torch.arange(256, device="cuda").repeat(4, 1)
        before = torch.cuda.memory_allocated()
        hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state
        kept_bytes = torch.cuda.memory_allocated() - before
        hidden.square().mean().backward()
        found[on_host] = kept_bytes, [p.grad for p in model.model.parameters()]
    (kept, wanted), (left, gradients) = found[False], found[True]
    assert left < kept
    torch.testing.assert_close(gradients, wanted)


def on_gpu(batch):
    """The parts of a batch on the GPU, as the trainer sends them."""
    parts = [
        {name: v.to("cuda") if isinstance(v, torch.Tensor) else v for name, v in part.items()}
        for part in batch["parts"]
    ]
    return batch | {"parts": parts}


def test_joined_samples_have_the_losses_of_each_alone(tiny_model_path):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tiny_model_path, dtype=torch.bfloat16, device_map={"": 0}
    ).eval()
    if not attention.may_join(models.ComputeDevice("cuda", torch.bfloat16)):
        pytest.skip("this GPU has no attention for samples of different lengths")
    examples = rows(0, 1, 2)
    alone = [losses(model, on_gpu(batches.PaddedCollator(64)([one]))) for one in examples]
    assert attention.can_join(model, longest=64)
    together = losses(model, on_gpu(batches.JoinedCollator(64)(examples)))
    torch.testing.assert_close(together, torch.cat(alone).sort().values, rtol=2e-2, atol=2e-2)
