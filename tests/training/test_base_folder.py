"""Tests of which stored forms of weights can be trained, by the base model's config.json."""

from __future__ import annotations

import json

import pytest

from service.training import Failed
from service.training.contract.failures import TrainingFailure
from service.training.model.base_folder import (
    FORMATS,
    check_folder,
    is_converted,
    read_config,
    stored_format,
    unquantizable,
    untrainable,
)


def config(method: str | None, **fields):
    quantized = {} if method is None else {"quantization_config": {"quant_method": method}}
    return {"model_type": "llama", **quantized, **fields}


def test_weights_in_16_bits_can_be_trained_and_quantized():
    assert untrainable(config(None)) is None
    assert unquantizable(config(None), "nf4") is None


@pytest.mark.parametrize("method", [method for method, _ in FORMATS])
def test_weights_that_are_stored_quantized_are_refused_with_a_remedy(method):
    why = untrainable(config(method))
    assert why is not None
    assert dict(FORMATS)[method] in why
    assert "variant in BF16" in why


def test_a_form_that_nobody_knows_yet_is_refused_by_its_name():
    assert "(int3-2029)" in (untrainable(config("INT3-2029")) or "")
    assert untrainable({"quantization_config": {}}) is None
    assert stored_format({"quantization_config": {"bits": 4}}) == "unknown"


def test_the_form_is_found_in_the_text_part_and_under_its_older_name():
    assert stored_format({"text_config": config("awq")}) == "awq"
    assert stored_format({"compression_config": {"quant_method": "compressed-tensors"}})


def test_gpt_oss_is_converted_and_cannot_be_quantized_again():
    gpt_oss = config("mxfp4", model_type="gpt_oss")
    assert is_converted(gpt_oss)
    assert untrainable(gpt_oss) is None
    assert unquantizable(gpt_oss, "none") is None
    assert "quantization to" in (unquantizable(gpt_oss, "nf4") or "")


def test_a_folder_without_a_readable_config_has_none(tmp_path):
    assert read_config(tmp_path) is None
    (tmp_path / "config.json").write_text("[1]")
    assert read_config(tmp_path) is None


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no readable config.json"),
        ({"config.json": "{"}, "not JSON"),
        ({"config.json": '{"auto_map": {}}'}, "its own code"),
        ({"config.json": "{}", "pytorch_model.bin": "x"}, "no .safetensors"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(make_spec, tmp_path, files, why):
    folder = tmp_path / "no-model"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(TrainingFailure, match=why) as caught:
        check_folder(make_spec(tmp_path / "out", base_model_path=folder))
    assert (caught.value.code, caught.value.param) == ("invalid_model", "model")
    assert str(folder) not in caught.value.message


@pytest.mark.slow
def test_the_trainer_refuses_them_before_it_loads_anything(start, make_spec, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config("fp8")))
    (folder / "model.safetensors").touch()
    trainer = start(make_spec(tmp_path / "out", base_model_path=folder))
    assert trainer.wait() == 1
    (failed,) = trainer.of(Failed)
    assert (failed.code, failed.param) == ("invalid_model", "model")
    assert "its weights are stored in FP8" in failed.message
