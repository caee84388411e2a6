"""GGUF files and Ollama folders: converted, quantized, and proved by llama.cpp."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.exporting import ExportSpec, Succeeded, missing_packages
from service.exporting.contract import ExportFailure
from service.exporting.gguf.convert import convert_model
from service.exporting.gguf.quantize import quantize
from service.exporting.proof import prove
from tests.conftest import TINY_CONFIG, make_tiny_model
from tests.exporting.conftest import (
    QUESTIONS,
    Answering,
    Tuned,
    make_adapter,
    spec_of,
    tuned_on,
)
from tests.exporting.exports import export, failure_of, isolation, run
from tests.lazy import Lazy

gguf = Lazy("gguf")
llama = Lazy("service.exporting.gguf.llama_model")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_packages()), reason="the extra 'export' is not installed"),
]


@dataclass(frozen=True)
class Made:
    """An export and its folder."""

    folder: Path
    result: Succeeded


@pytest.fixture(scope="module")
def tuned(demo_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A tuned model with all tokens: llama.cpp knows a tokenizer by how it splits a text."""
    base = make_tiny_model(demo_model_path, TINY_CONFIG | {"vocab_size": 49152})
    return tuned_on(base, tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def ollama(tuned: Tuned, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An export for Ollama."""
    folder = tmp_path_factory.mktemp("ollama")
    fields = {"format": "ollama", "quantization": "q8_0", "context_length": 2048}
    code, (*_, result) = run(spec_of(tuned, folder, **fields), folder)
    assert code == 0, result
    assert not [*(folder / "work").rglob("*.gguf")]
    return Made(folder / "out", result)


def test_an_ollama_folder_has_a_quantized_model_and_a_modelfile(ollama: Made, tuned: Tuned) -> None:
    assert {file.path for file in ollama.result.files} == {
        "Modelfile",
        "README.md",
        "model-q8_0.gguf",
        "passport.json",
        "proof.json",
    }
    text = (ollama.folder / "Modelfile").read_text()
    assert text.startswith("FROM ./model-q8_0.gguf\nPARAMETER temperature 1\n")
    assert "PARAMETER num_ctx 2048\n" in text
    assert 'PARAMETER stop "<|im_end|>"\n' in text
    assert "TEMPLATE" not in text
    content = (ollama.folder / "model-q8_0.gguf").read_bytes()
    assert b"so that Ollama uses this one as it is. #}{% for message in messages %}" in content
    readme = (ollama.folder / "README.md").read_text()
    assert "ollama create bakery-helper -f Modelfile" in readme
    assert ollama.result.proof.answers == len(tuned.references)
    assert ollama.result.proof.logprob_difference < 0.2


def test_neither_a_network_nor_a_compiler_is_needed(ollama: Made) -> None:
    """The export ran in a namespace with only a loopback interface, and no programs in its PATH."""
    if not isolation():
        pytest.skip("unshare may not create a network namespace here")
    assert ollama.result.proof.answers
    look = "import socket; print(*(name for _, name in socket.if_nameindex()))"
    command = [*isolation(), sys.executable, "-c", look]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert found.stdout == "lo\n"


def test_a_template_changed_by_one_character_fails_with_both_texts(
    ollama: Made, tuned: Tuned
) -> None:
    """The engine closes turns with another character than the artifact."""
    model = llama.LlamaModel(ollama.folder / "model-q8_0.gguf", context=512, threads=1)
    first = tuned.references[0]
    text = model.detokenize(first.prompt_tokens)
    other = text.replace("<|im_end|>", "<|im_end|]")
    changed = first.model_copy(update={"prompt_tokens": tuple(model.tokenize(other))})
    with pytest.raises(ExportFailure) as caught:
        prove(model, [changed], lambda *_: None)
    failure = caught.value.failure
    assert failure.code == "wrong_template"
    assert (failure.expected_prompt, failure.rendered_prompt) == (other, text)


def test_rows_that_q5_k_cannot_have_are_in_q5_0(tuned: Tuned, tmp_path: Path) -> None:
    """llama.cpp would take Q5_1 for them."""
    whole, quantized = tmp_path / "f16.gguf", tmp_path / "q5_k_m.gguf"
    convert_model(tuned.base, whole)
    quantize(whole, quantized, "q5_k_m", 1)
    types = [tensor.tensor_type.name for tensor in gguf.GGUFReader(quantized).tensors]
    assert types.count("Q5_0") > types.count("Q8_0") > 0
    assert "Q5_1" not in types


def test_an_adapter_is_converted(spec: Callable[..., ExportSpec]) -> None:
    result = export(spec(format="gguf-adapter"))
    assert "adapter.gguf" in {file.path for file in result.files}
    assert result.proof.logprob_difference < 0.05


@pytest.mark.filterwarnings("ignore")  # PEFT warns about tied weights
@pytest.mark.parametrize("module", ["embed_tokens", "lm_head"])
def test_an_adapter_of_the_embeddings_or_the_head_is_refused(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path, module: str
) -> None:
    """llama.cpp would abort the process."""
    adapter = tmp_path / "adapter"
    make_adapter(tuned.base, adapter, strength=0.01, target_modules=["q_proj", module])
    failure = failure_of(spec(format="gguf-adapter", adapter_path=adapter))
    assert failure.code == "unsupported_adapter"
    assert f"changes {module}, and" in failure.message
    assert "format gguf or ollama" in failure.message


@pytest.mark.filterwarnings("ignore")  # PEFT warns about tied weights
def test_an_adapter_of_the_head_is_merged(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    make_adapter(tuned.base, adapter, strength=0.01, target_modules=["q_proj", "lm_head"])
    model = Answering(tuned.base, adapter)
    references = tuple(map(model.reference, QUESTIONS))
    asked = spec(format="gguf", quantization="f16", adapter_path=adapter, references=references)
    result = export(asked)
    assert result.proof.logprob_difference < 0.05


def test_an_unknown_pre_tokenizer_is_refused(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tuned.base, base)
    tokenizer = json.loads((base / "tokenizer.json").read_bytes())
    tokenizer["pre_tokenizer"] = {"type": "Split", "pattern": {"String": "q"},
                                  "behavior": "Isolated", "invert": False}  # fmt: skip
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    failure = failure_of(spec(format="gguf", quantization="f16", base_model_path=base))
    assert failure.code == "unsupported_model"
    assert "pre-tokenizer" in failure.message
