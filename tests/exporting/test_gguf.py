"""GGUF files and Ollama folders: converted, quantized, and proved by llama.cpp."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.exporting import ExportSpec, Succeeded, missing_packages
from service.exporting.contract import ExportFailure
from service.exporting.gguf.converters import convert_model, quantize
from service.exporting.gguf.ollama import parameters
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
peft = Lazy("peft")
torch = Lazy("torch")
transformers = Lazy("transformers")
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
    # Without these, Ollama takes top_k 40, top_p 0.9 and repeat_penalty 1.1.
    sampling = "temperature 1", "top_k 0", "top_p 1", "min_p 0", "repeat_penalty 1"
    assert text.startswith("\nPARAMETER ".join(("FROM ./model-q8_0.gguf", *sampling)))
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


SCRIPTS = {
    "Latin": "Wir öffnen sonntags um acht – früher nicht.",
    "Cyrillic": "По воскресеньям мы открываемся в восемь.",
    "Greek": "Τις Κυριακές ανοίγουμε στις οκτώ.",
    "Arabic": "نفتح يوم الأحد في الثامنة صباحا.",
    "Hebrew": "ביום ראשון אנחנו פותחים בשמונה.",
    "Devanagari": "रविवार को हम आठ बजे खोलते हैं।",
    "Thai": "วันอาทิตย์เราเปิดแปดโมง",
    "Japanese": "日曜日は八時に開店します。",
    "Korean": "일요일에는 여덟 시에 문을 엽니다.",
    "Emoji": "👩🏽‍🍳🥐🥖 08:00 🕗🎉",
}


def test_tokens_that_are_parts_of_characters_are_compared(
    spec: Callable[..., ExportSpec], tuned: Tuned
) -> None:
    """llama.cpp's server names no token after which a character is incomplete."""
    model = Answering(tuned.base, tuned.adapter)
    asked = [model.reference(text) for text in SCRIPTS.values()]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tuned.base)
    assert any("\ufffd" in tokenizer.decode([t]) for one in asked for t in one.tokens)
    references = tuple(
        one.model_copy(update={"row_answer": model.row_answer(one, text)})
        for one, text in zip(asked, SCRIPTS.values(), strict=True)
    )
    for script, one in zip(SCRIPTS, references, strict=True):
        assert one.row_answer is not None
        parts = sum("\ufffd" in tokenizer.decode([token]) for token in one.row_answer.tokens)
        assert script in ("Latin", "Cyrillic", "Greek") or parts > 0, script
    result = export(spec(format="gguf", quantization="q8_0", references=references))
    assert result.proof.answers == len(SCRIPTS)
    assert result.proof.logprob_difference < 0.05
    assert result.proof.loss_rise is not None
    assert abs(result.proof.loss_rise) < 0.05


def test_scores_are_those_of_all_tokens_however_unlikely(tuned: Tuned, tmp_path: Path) -> None:
    file = tmp_path / "f16.gguf"
    convert_model(tuned.base, file)
    model = llama.LlamaModel(file, context=512, threads=1)
    exact = transformers.AutoModelForCausalLM.from_pretrained(tuned.base, dtype=torch.float32)
    prompt, tokens = tuned.references[0].prompt_tokens, (11, 40_000, 3, 777, 49_151)
    logits = exact(torch.tensor([[*prompt, *tokens]])).logits[0, -len(tokens) - 1 : -1]
    expected = logits.log_softmax(dim=-1).gather(1, torch.tensor(tokens).unsqueeze(1))[:, 0]
    torch.testing.assert_close(
        torch.tensor(model.logprobs(prompt, tokens)), expected, atol=0.01, rtol=0
    )


def test_rows_that_q5_k_cannot_have_are_in_q5_0(tuned: Tuned, tmp_path: Path) -> None:
    """llama.cpp would take Q5_1 for them."""
    whole, quantized = tmp_path / "f16.gguf", tmp_path / "q5_k_m.gguf"
    convert_model(tuned.base, whole)
    quantize(whole, quantized, "q5_k_m", 1)
    types = [tensor.tensor_type.name for tensor in gguf.GGUFReader(quantized).tensors]
    assert types.count("Q5_0") > types.count("Q8_0") > 0
    assert "Q5_1" not in types


@pytest.mark.parametrize(
    "options",
    [{}, {"use_rslora": True, "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"up_proj": 40}}],
    ids=["plain", "scaled"],
)
def test_an_adapter_is_converted(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path, options: dict[str, Any]
) -> None:
    """llama.cpp knows one scale for the whole adapter."""
    adapter = tmp_path / "adapter"
    make_adapter(tuned.base, adapter, strength=0.3, **options)
    references = tuple(map(Answering(tuned.base, adapter).reference, QUESTIONS))
    result = export(spec(format="gguf-adapter", adapter_path=adapter, references=references))
    assert "adapter.gguf" in {file.path for file in result.files}
    assert result.proof.logprob_difference < 0.05
    assert metadata_of(tmp_path / "out" / "adapter.gguf")["general.name"] == "Bakery helper"
    text = (tmp_path / "out" / "README.md").read_text()
    assert "--temp 1 --top-k 0 --top-p 1 --min-p 0 --repeat-penalty 1" in text.replace("\n", " ")


def metadata_of(file: Path) -> dict[str, Any]:
    fields = gguf.GGUFReader(file).fields
    return {name: fields[name].contents() for name in fields if not name.startswith("tokenizer.")}


def test_a_gguf_file_says_what_it_is_and_how_to_sample(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path
) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(tuned.base, base)
    config = base / "generation_config.json"
    sampling = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.05}
    config.write_text(json.dumps(json.loads(config.read_text()) | sampling))
    shutil.copytree(tuned.adapter, adapter)
    data = {"training": {"file": "file-1", "sha256": "d" * 64}}
    (adapter / "passport.json").write_text(json.dumps({"data": data}))
    fields = {"license": "Apache-2.0", "languages": ["en", "de"], "format": "ollama"}
    made = spec(**fields, quantization="f16", base_model_path=base, adapter_path=adapter)
    export(made)
    found = metadata_of(tmp_path / "out" / "model-f16.gguf")
    assert {name: found.get(f"general.{name}") for name in (
        "name", "license", "languages", "base_model.count", "base_model.0.name", "dataset.0.name",
        "dataset.0.description",
    )} == {
        "name": "Bakery helper",
        "license": "apache-2.0",
        "languages": ["en", "de"],
        "base_model.count": 1,
        "base_model.0.name": "tiny-base",
        "dataset.0.name": "training data",
        "dataset.0.description": f"SHA-256 {'d' * 64}",
    }  # fmt: skip
    kept = {name: round(found[f"general.sampling.{name}"], 4) for name in (
        "temp", "top_k", "top_p", "min_p", "penalty_repeat", "penalty_last_n"
    )}  # fmt: skip
    assert [*kept.values()] == [0.6, 20, 0.95, 0, 1.05, 4096]
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert parameters(text) == {
        "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0, "repeat_penalty": 1.05,
        "presence_penalty": 0, "frequency_penalty": 0, "repeat_last_n": 4096,
    }  # fmt: skip


def test_the_proof_answers_with_the_parameters_of_the_modelfile(
    tuned: Tuned, tmp_path: Path
) -> None:
    """An engine with the same penalty answers as the Modelfile says, and Ollama's default not."""
    file = tmp_path / "f16.gguf"
    convert_model(tuned.base, file)
    exact = transformers.AutoModelForCausalLM.from_pretrained(tuned.base, dtype=torch.float32)
    prompt = list(tuned.references[0].prompt_tokens)
    penalty = 3.0
    asked = exact.generate(
        torch.tensor([prompt]), max_new_tokens=24, do_sample=False, repetition_penalty=penalty
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(tuned.base)
    expected = tokenizer.decode(asked[0, len(prompt) :], skip_special_tokens=True)
    answers = [
        llama.LlamaModel(file, context=512, threads=1, sampling=sampling).answer(prompt, 24)
        for sampling in ({"repeat_penalty": penalty, "repeat_last_n": 512}, {"repeat_penalty": 1.0})
    ]
    assert answers[0] == expected != answers[1]


def test_f16_weights_are_rounded_once(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path
) -> None:
    export(spec(format="gguf", quantization="f16"))
    base = transformers.AutoModelForCausalLM.from_pretrained(tuned.base, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(base, tuned.adapter).merge_and_unload().state_dict()
    tensors = {
        one.name: one.data for one in gguf.GGUFReader(tmp_path / "out" / "model-f16.gguf").tensors
    }
    for layer in range(2):
        expected = merged[f"model.layers.{layer}.mlp.down_proj.weight"]
        found = torch.tensor(tensors[f"blk.{layer}.ffn_down.weight"].astype("float32"))
        # Half a step of f16, and half of one of bfloat16 is eight times as much.
        torch.testing.assert_close(found, expected, rtol=2**-11, atol=1e-6)


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
