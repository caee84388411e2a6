"""Tests that unusable base-model folders are detected without loading them."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from service.models.model_folder import folder_fault
from tests.models.folders import model_folder

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
