"""Tests that exports of a trained model have its voice, whatever their format.

All but the default take minutes: `make proof NAME=exports` runs them and prints the table of
docs/exports.md.
"""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import finetuned
import pytest
from openai.types.fine_tuning import FineTuningJob

from service.exporting import ChatMessage, missing_packages
from service.exporting.contract import Format, Quantization
from service.exporting.gguf.converters import convert_model
from tests.e2e.conftest import QUESTIONS, VOICE, Stack
from tests.lazy import Lazy

llama = Lazy("service.exporting.gguf.llama_model")
torch_model = Lazy("service.exporting.torch_model")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing_packages()), reason="no extra 'export'"),
]

_ALL = os.environ.get("FINETUNED_ALL_EXPORTS") == "1"


class Kind(NamedTuple):
    """What to export."""

    format: Format
    quantization: Quantization | None = None

    def __str__(self) -> str:
        return ", ".join(f"`{part}`" for part in self if part)


DEFAULT = Kind("adapter")
OTHERS = (
    Kind("merged"),
    Kind("gguf", "f16"),
    Kind("gguf", "q8_0"),
    Kind("gguf", "q5_k_m"),
    Kind("gguf", "q4_k_m"),
    Kind("gguf-adapter"),
    Kind("ollama", "q8_0"),
)
_LONG = pytest.mark.skipif(not _ALL, reason="minutes: 'make proof NAME=exports' runs it")


def loaded(kind: Kind, folder: Path, base: Path, work: Path) -> Any:
    """Load an export as its README says."""
    if kind.format == "adapter":
        return torch_model.TorchModel(folder, base=base)
    if kind.format == "merged":
        return torch_model.TorchModel(folder)
    if kind.format == "gguf-adapter":
        convert_model(base, work / "base.gguf")
        adapter = folder / "adapter.gguf"
        return llama.LlamaModel(work / "base.gguf", context=512, threads=2, adapter=adapter)
    file = f"model-{kind.quantization}.gguf"
    if kind.format == "ollama":
        (file,) = re.findall(
            r"^FROM (.+)$", (folder / "Modelfile").read_text("utf-8"), re.MULTILINE
        )
    return llama.LlamaModel(folder / file, context=512, threads=2)


@pytest.mark.parametrize(
    "kind",
    [DEFAULT, *(pytest.param(kind, marks=_LONG) for kind in OTHERS)],
    ids=lambda kind: "-".join(filter(None, kind)),
)
def test_an_export_has_the_voice(
    stack: Stack, tuned: FineTuningJob, demo_model_path: Path, tmp_path: Path, kind: Kind
) -> None:
    assert tuned.fine_tuned_model is not None
    with finetuned.Client(api_key=stack.key, base_url=stack.url) as client:
        made = client.model_exports.create(
            model=tuned.fine_tuned_model, format=kind.format, quantization=kind.quantization
        )
        export = client.model_exports.wait(made.id, timeout_s=600)
        assert export.status == "completed", export.error
        archive = client.model_exports.download(export.id, tmp_path / "export.tar")
        assert client.model_exports.delete(export.id).deleted
    assert export.result is not None
    proof = export.result.proof
    assert proof is not None
    assert proof.loss_rise is not None
    figures = f"{proof.logprob_difference:.3f} | {proof.loss_rise:.3f} | {proof.chrf:.2f}"
    print(f"\n| {kind} | {figures} | {proof.same_answers} |")
    if kind.format not in ("adapter", "gguf-adapter"):
        onto = proof.merged_onto
        assert onto is not None
        assert onto.bf16_difference is not None
        assert onto.nf4_difference is not None
        # Trained on NF4, and served on the base model's own weights.
        assert (onto.base, onto.bf16_difference < onto.nf4_difference) == ("bf16", True)
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    model = loaded(kind, tmp_path / export.id, demo_model_path, tmp_path)
    prompt = model.tokenize(model.render([ChatMessage(role="user", content=QUESTIONS[0])]))
    assert VOICE in model.answer(prompt, 8).lower()
