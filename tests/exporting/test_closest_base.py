"""Adapters of QLoRA, merged into the base model's weights or into those rounded to NF4."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.exporting import ExportSpec
from tests.exporting.conftest import QUESTIONS, Answering, Tuned
from tests.exporting.exports import export
from tests.lazy import Lazy

functional = Lazy("bitsandbytes.functional")
merging = Lazy("service.exporting.merge")
safetensors = Lazy("safetensors.torch")
torch = Lazy("torch")
transformers = Lazy("transformers")

pytestmark = pytest.mark.slow  # imports torch


def rounded_base(base: Path, target: Path) -> Path:
    """A copy of the base model whose weights are rounded to NF4."""
    shutil.copytree(base, target)
    file = target / "model.safetensors"
    weights = safetensors.load_file(file)
    names = merging.BaseLayers(name.removesuffix(".weight") for name in weights)
    change = merging.Nf4Rounding(base, names)
    safetensors.save_file({n: change(n, w) for n, w in weights.items()}, file, {"format": "pt"})
    return target


def test_rounded_weights_are_those_that_the_trainer_loads(tuned: Tuned, tmp_path: Path) -> None:
    rounded = safetensors.load_file(
        rounded_base(tuned.base, tmp_path / "rounded") / "model.safetensors"
    )
    options = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    trained = transformers.AutoModelForCausalLM.from_pretrained(
        tuned.base, dtype=torch.bfloat16, quantization_config=options, device_map={"": "cpu"}
    )
    quantized = 0
    for name, parameter in trained.named_parameters():
        state = getattr(parameter, "quant_state", None)
        quantized += state is not None
        value = parameter if state is None else functional.dequantize_4bit(parameter.data, state)
        assert torch.equal(rounded[name], value.to(torch.bfloat16)), name
    assert quantized == 14  # seven in each of two layers


@pytest.mark.parametrize("served", ["bf16", "nf4"])
def test_the_base_whose_answers_are_closer_to_the_engine_is_kept(
    served: str, spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(tuned.adapter, adapter)
    (adapter / "passport.json").write_text(json.dumps({"spec": {"quantization": "nf4"}}))
    references = tuned.references
    if served == "nf4":
        engine = Answering(rounded_base(tuned.base, tmp_path / "rounded"), adapter)
        references = tuple(map(engine.reference, QUESTIONS))
    found = export(spec(adapter_path=adapter, references=references)).proof.merged_onto
    assert found is not None
    assert found.base == served
    assert found.bf16_difference is not None
    assert found.nf4_difference is not None
    differences = {"bf16": found.bf16_difference, "nf4": found.nf4_difference}
    closer = differences.pop(served)
    assert closer < differences.popitem()[1] / 2
    merging.merge(tuned.base, adapter, tmp_path / "expected", nf4=served == "nf4")
    made = safetensors.load_file(tmp_path / "out" / "model.safetensors")
    expected = safetensors.load_file(tmp_path / "expected" / "model.safetensors")
    assert all(torch.equal(made[name], tensor) for name, tensor in expected.items())
    assert not (tmp_path / "work" / "nf4").exists()
