"""Tests of what engines load of a base model, and of its size, read from folders."""

from __future__ import annotations

import json

import pytest

from service.inference.engine.sizing_inputs import (
    alternatives,
    base_model_sizes,
    engines_bytes,
    on_this_gpu,
    weights_bytes,
)
from service.models.catalogue import BaseModelEntry
from service.training.loop.estimate import loaded_bytes
from service.training.model.shape import ModelShape
from tests.training.zoo.families import FAMILIES, make


@pytest.fixture
def entry(tiny_model_path):
    shape = ModelShape.read(tiny_model_path)

    def made(**changes) -> BaseModelEntry:
        fields = {"path": tiny_model_path, "parameters": shape.parameters, **changes}
        return BaseModelEntry(id="tiny", license="mit", context_length=512, **fields)

    return made


def test_the_weights_that_an_engine_may_load_instead(entry, tiny_model_path):
    shape = ModelShape.read(tiny_model_path)
    base = base_model_sizes(entry())
    assert (base.quantization, base.weights_bytes) == ("none", 2 * shape.parameters)
    fp8, nf4 = alternatives(entry(), base)
    assert (fp8.quantization, fp8.weights_bytes) == ("fp8", shape.parameters + shape.ends)
    assert (nf4.quantization, nf4.weights_bytes) == ("nf4", loaded_bytes(shape, "nf4"))
    assert nf4.adapter_bytes_per_rank == base.adapter_bytes_per_rank


@pytest.mark.parametrize(
    ("capability", "names"), [((7, 0), ["nf4"]), ((7, 5), ["fp8", "nf4"]), (None, ["fp8", "nf4"])]
)
def test_fp8_needs_a_gpu_that_computes_with_it(entry, capability, names):
    found = alternatives(entry(), base_model_sizes(entry()), capability)
    assert [choice.quantization for choice in found] == names


@pytest.mark.parametrize("chosen", ["none", "fp8", "nf4"])
def test_a_choice_in_the_catalog_is_the_only_one(entry, chosen):
    set_one = entry(serving_quantization=chosen)
    base = base_model_sizes(set_one)
    assert (base.quantization, alternatives(set_one, base)) == (chosen, ())
    of_auto = (base_model_sizes(entry()), *alternatives(entry(), base_model_sizes(entry())))
    assert base in of_auto


def test_nf4_is_not_chosen_for_a_mixture(demo_model_path):
    (mixture,) = [family for family in FAMILIES if family.name == "Mixtral"]
    of_experts = BaseModelEntry(
        id="experts", path=make(mixture, demo_model_path), license="mit", context_length=512
    )
    found = alternatives(of_experts, base_model_sizes(of_experts))
    assert [choice.quantization for choice in found] == ["fp8"]


def test_a_quantized_folder_counts_as_it_is_stored(entry, tmp_path):
    quantized = tmp_path / "awq"
    quantized.mkdir()
    (quantized / "config.json").write_text(json.dumps({"quantization_config": {}}))
    (quantized / "model.safetensors").write_bytes(b"\0" * 1000)
    served = entry(serving_path=quantized)
    assert alternatives(served, base_model_sizes(served)) == ()
    assert weights_bytes(served) == 1000
    assert engines_bytes([served]) == [1000]
    assert on_this_gpu([], [served]) == [served]
    assert engines_bytes(on_this_gpu([served.id], [served])) == [1000]
    assert engines_bytes(on_this_gpu(["other"], [served])) == []
