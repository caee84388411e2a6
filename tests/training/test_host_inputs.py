"""Tests of what gradient checkpointing keeps, and where, with the same gradients."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest

from service.training.model.shape import ModelShape
from tests.lazy import Lazy
from tests.training.test_estimate import estimated

host_inputs = Lazy("service.training.model.models")
modeling_layers = Lazy("transformers.modeling_layers")
torch = Lazy("torch")
transformers = Lazy("transformers")

ROWS, LENGTH = 2, 48


class Counted:
    """The bytes that went to the host, and the inputs of layers that the device still has."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved_bytes = 0
        self._inputs: list[weakref.ref[Any]] = []
        original = host_inputs.to_host

        def to_host(tensor: Any) -> Any:
            self.moved_bytes += tensor.numel() * tensor.element_size()
            return original(tensor)

        monkeypatch.setattr("service.training.model.models.to_host", to_host)
        for module in model.modules():
            if isinstance(module, modeling_layers.GradientCheckpointingLayer):
                module.register_forward_pre_hook(self._note)

    def _note(self, _layer: Any, inputs: tuple[Any, ...]) -> None:
        self._inputs.append(weakref.ref(inputs[0]))

    @property
    def left(self) -> int:
        return sum(ref() is not None for ref in self._inputs)


def gradients(model: Any, counted: Counted) -> tuple[int, dict[str, Any]]:
    """Compute a step. Returns how many inputs of layers are left after its forward pass."""
    model.zero_grad()
    torch.manual_seed(1)
    tokens = torch.randint(0, model.config.vocab_size, (ROWS, LENGTH))
    loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
    left = counted.left
    loss.backward()
    return left, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.slow
def test_inputs_leave_the_device_and_the_gradients_stay_the_same(tiny_model_path, monkeypatch):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model_path).train()
    counted = Counted(model, monkeypatch)
    usual = {"use_reentrant": False}
    model.gradient_checkpointing_enable(usual)
    left, wanted = gradients(model, counted)
    shape = ModelShape.read(tiny_model_path)
    assert (left, counted.moved_bytes) == (shape.layers, 0)

    host_inputs.keep_inputs_on_host(model)
    model.gradient_checkpointing_enable(usual)
    model.gradient_checkpointing_disable()
    model.gradient_checkpointing_enable(usual)  # as after a pass through the reference
    left, found = gradients(model, counted)
    assert left == 0
    assert counted.moved_bytes == shape.layers * ROWS * LENGTH * shape.hidden * model.dtype.itemsize
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())


@pytest.mark.slow
def test_the_last_layers_keep_their_activations_and_the_gradients_stay_the_same(
    tiny_model_path, monkeypatch
):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model_path).train()
    counted = Counted(model, monkeypatch)
    _, wanted = gradients(model, counted)
    host_inputs.keep_last_layers(model, 1)
    usual = {"use_reentrant": False}
    model.gradient_checkpointing_enable(usual)
    model.gradient_checkpointing_disable()
    model.gradient_checkpointing_enable(usual)  # as after a pass through the reference
    layers = model.model.layers
    assert [layer.gradient_checkpointing for layer in layers] == [True, False]
    passes = []
    for place, layer in enumerate(layers):
        layer.mlp.register_forward_pre_hook(lambda *_, place=place: passes.append(place))
    _, found = gradients(model, counted)
    assert passes == [0, 1, 0]  # the second layer is not recomputed
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())


def test_the_estimate_counts_only_what_the_device_keeps(tiny_model_path: Path):
    shape = ModelShape.read(tiny_model_path)
    deep = type(shape)(**{name: getattr(shape, name) for name in shape.__slots__} | {"layers": 32})
    kept = estimated(deep, gradient_checkpointing=True)
    moved = estimated(deep, gradient_checkpointing=True, inputs_on_host=True)
    assert kept.activations - moved.activations == 30 * 4 * 128 * shape.hidden * 2
