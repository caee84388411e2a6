"""Tests of training in float16, as on GPUs without bfloat16. Here it is forced on the CPU."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from service.training import CheckpointSaved, Started
from tests.lazy import Lazy

from .conftest import Starter
from .forked import compute_in

pytestmark = pytest.mark.slow

torch = Lazy("torch")
half = Lazy("service.training.loop.float16")
models = Lazy("service.training.model.models")


def factor_of(checkpoint: str) -> float:
    """The factor of the loss that a checkpoint has kept."""
    state = json.loads((Path(checkpoint) / "loss_scale.json").read_text())
    return float(state["factor"])


@pytest.mark.e2e
def test_the_losses_are_those_of_float32(make_spec, tmp_path):
    """Of a base model in NF4; the next test has one that is not quantized."""
    losses = {}
    for dtype in ("float16", "float32"):
        folder = tmp_path / dtype
        folder.mkdir()
        with Starter(folder, prepare=partial(compute_in, dtype)) as start:
            run = start(make_spec(folder / "out", n_epochs=1))
            assert run.wait() == 0, run.log.read_text()
        assert run.of(Started)[0].dtype == dtype
        losses[dtype] = run.losses
    assert len(losses["float16"]) == 4
    assert losses["float16"] == pytest.approx(losses["float32"], rel=2e-3)


@pytest.mark.e2e
def test_a_batch_whose_gradients_overflow_is_computed_again(make_spec, tmp_path):
    """With a large alpha, the gradients of the adapter exceed the range of float16 at first."""
    given = {"lora": {"r": 4, "alpha": 1024}, "quantization": "none", "n_epochs": 1}
    losses = {}
    for dtype in ("float16", "float32"):
        folder = tmp_path / dtype
        folder.mkdir()
        with Starter(folder, prepare=partial(compute_in, dtype)) as start:
            run = start(make_spec(folder / "out", learning_rate=1e-6, **given))
            assert run.wait() == 0, run.log.read_text()
            losses[dtype] = run.losses
            if dtype == "float16":
                assert factor_of(run.of(CheckpointSaved)[0].path) < 2**16
    assert losses["float16"] == pytest.approx(losses["float32"], rel=2e-3)


def parameter(gradient: float):
    found = torch.nn.Parameter(torch.ones(2))
    found.grad = torch.tensor([gradient, 1.0])
    return found


def test_the_factor_is_halved_until_the_gradients_are_finite(tmp_path):
    scale = half.LossScale()
    assert not scale.unscale([parameter(1.0), parameter(float("inf"))])
    assert scale.factor == 2**15
    sound = parameter(2.0**16)
    assert scale.unscale([sound])
    assert sound.grad.tolist() == [2.0, 2.0**-15]
    scale.write(tmp_path)
    resumed = half.LossScale()
    resumed.read(tmp_path)
    assert resumed.factor == 2**15
    while not resumed.is_exhausted:
        assert not resumed.unscale([parameter(float("nan"))])
    assert resumed.factor == 0.5


def test_the_factor_grows_again():
    scale = half.LossScale()
    scale.unscale([parameter(float("inf"))])
    for _ in range(2000):
        assert scale.factor == 2**15
        scale.unscale([parameter(1.0)])
    assert scale.factor == 2**16


@pytest.mark.parametrize(("family", "dtype"), [("gemma3", "float32"), ("llama", "float16")])
def test_models_that_need_the_range_compute_in_float32(make_spec, tmp_path, family, dtype):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    spec = make_spec(tmp_path / "out", base_model_path=tmp_path)
    place = half.choose_dtype(models.ComputeDevice("cuda", torch.float16), spec)
    assert place.dtype_name == dtype
