"""Model cards: metadata, license, training, evaluation and proof, without text of the data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.exporting import Evaluation, ExportSpec, Format, Proof
from service.exporting.card import duties, model_card, served_name, usage
from service.exporting.contract import MergedOnto

SECRET = "The till code is 4711."
PASSPORT = {
    "base_model": {"id": "tiny-base", "sha256": "b" * 64, "chat_template_sha256": "c" * 64},
    "data": {
        "training": {"file": "file-1", "sha256": "d" * 64, "rows_sha256": "e" * 64, "rows": 48},
    },
    "spec": {
        "method": "sft",
        "quantization": "nf4",
        "learning_rate": 0.00020000000001,
        "lora": {"rank": 16},
        "prompt": SECRET,
    },
    "libraries": {"torch": "2.13.0+cpu"},
    "run": {"metrics": {"train_loss": 1.23456789}},
}
PROOF = Proof(
    answers=8,
    same_answers=7,
    chrf=0.98,
    logprob_difference=0.0113,
    largest_logprob_difference=0.2,
    merged_onto=MergedOnto(base="bf16", bf16_difference=0.0113, nf4_difference=0.1942),
)


@pytest.fixture
def card(tmp_path: Path) -> Callable[..., str]:
    """Make the card of an export; the arguments replace fields of its spec."""

    def make(passport: dict[str, Any] = PASSPORT, *, rank: int = 8, **fields: Any) -> str:
        (tmp_path / "passport.json").write_text(json.dumps(passport))
        message = {"role": "user", "content": SECRET}
        reference = {
            "messages": [message], "prompt_tokens": [1], "answer": SECRET, "tokens": [2],
            "logprobs": [-1.0],
        }  # fmt: skip
        spec = ExportSpec.model_validate({
            "format": "merged",
            "name": "Bakery helper",
            "base_model": "tiny-base",
            "license": "Apache-2.0",
            "languages": ["en", "ja"],
            "base_model_path": tmp_path,
            "adapter_path": tmp_path,
            "output_dir": tmp_path / "out",
            "work_dir": tmp_path / "work",
            "references": [reference],
            **fields,
        })  # fmt: skip
        return model_card(spec, usage(spec, rank=rank, file="model.gguf"), PROOF)

    return make


def test_a_card_says_where_the_model_comes_from(card: Callable[..., str]) -> None:
    evaluation = Evaluation(
        verdict="serve", sentence="Serve it: 12 chrF better.", figures={"chrf_gain": 12.3456}
    )
    text = card(evaluation=evaluation)
    assert yaml.safe_load(text.split("---\n")[1]) == {
        "base_model": "tiny-base",
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "language": ["en", "ja"],
        "tags": ["finetuned", "lora", "sft", "qlora"],
    }
    assert "Include a copy of the license in every copy." in text
    for row in (
        "| learning_rate | `0.0002` |",
        "| lora.rank | `16` |",
        "| training rows | `48` |",
        "| train_loss | `1.235` |",
        f"| training file | `{'d' * 64}` |",
        f"| chat template | `{'c' * 64}` |",
        "| chrf_gain | `12.35` |",
        "| mean difference of the words' probabilities | `1.1%` |",
    ):
        assert row in text
    assert "Verdict on held-out rows: `serve`. Serve it: 12 chrF better." in text
    assert "by 1.1%, and merged into those rounded to NF4 by 21.4%." in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("format_", "relation", "library"),
    [
        ("adapter", "adapter", "peft"),
        ("gguf-adapter", "adapter", "gguf"),
        ("gguf", "quantized", "gguf"),
        ("ollama", "quantized", "gguf"),
    ],
)
def test_the_metadata_depends_on_the_format(
    card: Callable[..., str], format_: Format, relation: str, library: str
) -> None:
    quantization = "q8_0" if format_ in ("gguf", "ollama") else None
    text = card(format=format_, quantization=quantization)
    found = yaml.safe_load(text.split("---\n")[1])
    assert (found["base_model_relation"], found["library_name"]) == (relation, library)


def test_an_imported_adapter_of_an_unknown_license_has_a_card(card: Callable[..., str]) -> None:
    text = card(passport={}, license="acme-eula", languages=())
    found = yaml.safe_load(text.split("---\n")[1])
    assert (found["license"], found["license_name"]) == ("other", "acme-eula")
    assert "language" not in found
    assert "it was imported" in text
    assert "The model was not evaluated." in text
    assert 'Read the license "acme-eula"' in text


@pytest.mark.parametrize(("rank", "option"), [(1, 1), (4, 8), (12, 16), (64, 64), (400, 512)])
def test_the_command_for_vllm_has_a_rank_that_vllm_accepts(
    card: Callable[..., str], rank: int, option: int
) -> None:
    text = card(format="adapter", rank=rank)
    assert f"--max-lora-rank {option} --lora-modules bakery-helper=." in text


def test_an_adapter_of_llama_4_is_not_to_be_served_with_vllm(
    card: Callable[..., str], tmp_path: Path
) -> None:
    """vLLM reorders the base model's queries and keys, but not the adapter's."""
    config = {"model_type": "llama4", "text_config": {"model_type": "llama4_text"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    text = card(format="adapter")
    assert "**Do not serve this adapter with vLLM:**" in text
    assert "format\n`merged`" in text
    assert "vllm serve" not in text
    assert "vllm serve" in card(format="merged")


@pytest.mark.parametrize("format_", ["adapter", "merged"])
def test_a_model_with_a_softcap_is_loaded_with_eager_attention(
    card: Callable[..., str], tmp_path: Path, format_: str
) -> None:
    eager = 'dtype="bfloat16", attn_implementation="eager")'
    assert eager not in card(format=format_)
    (tmp_path / "config.json").write_text('{"text_config": {"attn_logit_softcapping": 50.0}}')
    assert eager in card(format=format_)


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("ft:Qwen2.5-7B:acme:voice:ab12", "ft-qwen2-5-7b-acme-voice-ab12"),
        ("ft:qwen3-8b:ร้านชา:เสียง:ab12", "ft-qwen3-8b-ab12"),
        ("ร้านชา", "tuned"),
    ],
)
def test_the_commands_name_the_model_as_a_shell_can(name: str, served: str) -> None:
    assert served_name(name) == served


def test_duties_depend_on_the_license() -> None:
    assert any("Built with Llama" in duty for duty in duties("llama3.1"))
    assert duties("cc0-1.0") == ()
