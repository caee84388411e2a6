"""Tests of the trainer that need CUDA."""

from __future__ import annotations

import pytest

from service.training import Started, StepDone, Succeeded
from tests.lazy import Lazy

torch = Lazy("torch")

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
