"""Tests of checks of base model folders, and of settings for serving."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from service.models.add import add_model
from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError
from service.models.model_folder import ModelRefused, folder_fault, serving_fault
from tests.models.folders import model_folder


def quantized(parent: Path, **config) -> Path:
    """A folder with weights that claims to be in AWQ."""
    parent.mkdir()
    folder = model_folder(parent)
    file = folder / "config.json"
    found = json.loads(file.read_text()) | {"quantization_config": {"quant_method": "awq"}} | config
    file.write_text(json.dumps(found))
    return folder


@pytest.fixture
def add(tmp_path):
    def added(**serving) -> BaseModelEntry:
        return add_model(
            model_folder(tmp_path),
            catalogue=Catalogue(tmp_path / "models.yaml"),
            models_dir=tmp_path,
            model_id="tiny",
            license_id="mit",
            **serving,
        )

    return added


def test_only_fields_that_are_set_are_written(add, tmp_path):
    entry = add(serving_quantization="nf4")
    assert Catalogue(tmp_path / "models.yaml").get("tiny") == entry
    written = (tmp_path / "models.yaml").read_text()
    assert "serving_quantization: nf4" in written
    assert "serving_path" not in written


def test_without_a_choice_earlier_versions_read_the_file(add, tmp_path):
    assert add().serving_quantization == "auto"
    assert "serving" not in (tmp_path / "models.yaml").read_text()


def test_a_quantized_folder_is_served_in_place_of_the_one_for_trainings(add, tmp_path):
    entry = add(serving_path=quantized(tmp_path / "awq"))
    assert entry.path == tmp_path / "model"
    assert entry.served_path == tmp_path / "awq" / "model"


@pytest.mark.parametrize(
    ("config", "choice", "fault"),
    [
        ({}, "nf4", "quantized already: leave out --serving-quantization"),
        (
            {"hidden_size": 64},
            "auto",
            "a different model from path: its config.json differs in hidden",
        ),
        ({"quantization_config": None}, "auto", "are not quantized: remove it from the catalog"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(add, tmp_path, config, choice, fault):
    with pytest.raises(ModelRefused, match=fault):
        add(serving_path=quantized(tmp_path / "awq", **config), serving_quantization=choice)
    assert Catalogue(tmp_path / "models.yaml").all() == []


def test_a_folder_that_is_incomplete_is_refused(add, tmp_path):
    with pytest.raises(ModelRefused, match="there is no folder"):
        add(serving_path=tmp_path / "gone")


def test_weights_are_not_quantized_twice(tmp_path):
    folder = quantized(tmp_path / "awq")
    entry = BaseModelEntry(
        id="a", path=folder, license="mit", context_length=64, serving_quantization="fp8"
    )
    assert "stored in a quantized form (awq) already" in (serving_fault(entry) or "")
    left_out = entry.model_copy(update={"serving_quantization": "auto"})
    assert serving_fault(left_out) is None


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ("serving_quantization: int4", "expected 'auto', 'none', 'fp8' or 'nf4'"),
        ("serving_quantization: nf4, serving_path: /q", "quantized already, so leave out 'nf4'"),
    ],
)
def test_a_file_written_by_hand_is_checked(tmp_path, fields, fault):
    file = tmp_path / "models.yaml"
    file.write_text(
        f"models:\n- {{id: tiny, path: /m, license: mit, context_length: 64, {fields}}}\n"
    )
    with pytest.raises(CatalogueError, match=fault):
        Catalogue(file).all()


WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def test_a_whole_folder_has_no_fault(tmp_path: Path):
    folder = model_folder(tmp_path)
    assert folder_fault(folder) is None
    (folder / INDEX).write_text(json.dumps({"weight_map": {"w": WEIGHTS}}))
    assert folder_fault(folder) is None


def header(folder: Path, text: str) -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text.encode())


def cut(folder: Path) -> None:
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (shutil.rmtree, "there is no folder"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / WEIGHTS).unlink(), "no weights in safetensors form"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"no"), "is not a safetensors file"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\xff" * 99), "is not a safetensors file"),
        (lambda folder: header(folder, "[1]"), "is not a safetensors file"),
        (lambda folder: header(folder, '{"w": {"shape": [1]}}'), "is not a safetensors file"),
        (cut, "is cut off: copy it again"),
        (lambda folder: (folder / INDEX).write_text("{}"), "is not an index of weights"),
        (
            lambda folder: (folder / INDEX).write_text('{"weight_map": {"w": "model-2-of-2.x"}}'),
            "lacks model-2-of-2.x",
        ),
    ],
)
def test_faults_of_a_folder_are_reported(
    tmp_path: Path, breaks: Callable[[Path], object], said: str
):
    folder = model_folder(tmp_path)
    breaks(folder)
    assert said in (folder_fault(folder) or "")
