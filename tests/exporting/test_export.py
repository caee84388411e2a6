"""Adapters and merged models: what is written, and what the proof finds."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.exporting import AnswerBounds, ExportSpec, Progress, Proof, Reference, Succeeded
from service.exporting.__main__ import classify
from service.exporting.contract import ExportFailure, MergedOnto
from service.exporting.proof import check_bounds
from tests.exporting.conftest import Tuned, spec_of
from tests.exporting.exports import changed_template, export, failure_of, run
from tests.lazy import Lazy
from tests.small_disk import small_disk

merging = Lazy("service.exporting.merge")
safetensors = Lazy("safetensors.torch")
torch = Lazy("torch")
transformers = Lazy("transformers")

pytestmark = pytest.mark.slow  # imports torch


def test_an_adapter_is_exported_with_what_it_needs(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path
) -> None:
    adapter = shutil.copytree(tuned.adapter, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    config |= {"r": 1, "rank_pattern": {".*_proj": config["r"]}}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    result = export(spec(format="adapter", adapter_path=adapter))
    names = {file.path for file in result.files}
    assert names >= {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "passport.json",
        "tokenizer.json",
    }
    assert result.proof.same_answers == result.proof.answers == len(tuned.references)
    assert result.proof.largest_logprob_difference < 0.05
    text = (tmp_path / "out" / "README.md").read_text()
    # The highest rank, which is not `r` here.
    assert "--max-lora-rank 8 --lora-modules bakery-helper=." in text


def test_a_merged_model_is_exported_by_a_process_without_a_network(
    spec: Callable[..., ExportSpec], tmp_path: Path
) -> None:
    code, messages = run(spec(), tmp_path)
    assert code == 0, messages
    *steps, result = messages
    assert isinstance(result, Succeeded)
    assert result.proof.logprob_difference < 0.1
    assert result.proof.merged_onto == MergedOnto(base="bf16")
    assert {step.step for step in steps if isinstance(step, Progress)} == {
        "merging", "loading", "proving", "hashing"
    }  # fmt: skip


def test_a_template_changed_by_one_character_fails_with_both_texts(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path
) -> None:
    base = changed_template(tuned, tmp_path)
    failure = failure_of(spec(base_model_path=base))
    assert failure.code == "wrong_template"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tuned.base)
    expected = tokenizer.decode(list(tuned.references[0].prompt_tokens))
    assert failure.expected_prompt == expected
    assert failure.rendered_prompt == expected.replace("<|im_end|>", "<|im_end|]")


def test_answers_of_another_model_fail(spec: Callable[..., ExportSpec], tuned: Tuned) -> None:
    other = [
        Reference(**reference.model_dump() | {"logprobs": [p - 1 for p in reference.logprobs]})
        for reference in tuned.references
    ]
    failure = failure_of(spec(references=other))
    assert failure.code == "answers_differ"
    assert failure.proof is not None
    assert failure.proof.logprob_difference > 0.9
    assert "differ by 17" in failure.message  # percent
    assert "at most 10.5% is allowed" in failure.message
    assert "nats" not in failure.message


PROOF = Proof(
    answers=8,
    same_answers=7,
    chrf=0.3,
    logprob_difference=0.2,
    largest_logprob_difference=2.0,
    loss_rise=0.02,
)


@pytest.mark.parametrize(
    ("changes", "quantized", "words"),
    [
        ({}, True, None),  # whatever the chrF is
        ({}, False, "differ by 22.1% on average, and at most 10.5% is allowed."),
        ({"logprob_difference": 0.3}, True, "at most 28.4% is allowed. Export with more bits"),
        ({"loss_rise": 0.2}, True, "held-out rows less likely, by 22.1% per token, and at most"),
        ({"loss_rise": None}, True, None),
        ({"logprob_difference": 9.0}, True, "differ by more than 1000%"),
    ],
)
def test_answers_are_bounded_by_their_probabilities(
    changes: dict[str, Any], quantized: bool, words: str | None
) -> None:
    found = PROOF.model_copy(update=changes)
    if words is None:
        check_bounds(found, AnswerBounds(), quantized=quantized)
        return
    with pytest.raises(ExportFailure) as failed:
        check_bounds(found, AnswerBounds(), quantized=quantized)
    assert failed.value.failure.code == "answers_differ"
    assert words in failed.value.failure.message


def test_a_layer_that_the_base_model_lacks_is_refused(
    spec: Callable[..., ExportSpec], tuned: Tuned, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(tuned.adapter, adapter)
    weights = safetensors.load_file(adapter / "adapter_model.safetensors")
    renamed = {name.replace("layers.1.", "layers.7."): tensor for name, tensor in weights.items()}
    safetensors.save_file(renamed, adapter / "adapter_model.safetensors")
    failure = failure_of(spec(adapter_path=adapter))
    assert failure.code == "unsupported_adapter"
    assert "no weight of their own" in failure.message
    assert "model.layers.7." in failure.message


def test_an_output_folder_with_files_is_refused(
    spec: Callable[..., ExportSpec], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "left").touch()
    assert failure_of(spec()).code == "invalid_spec"


def test_a_full_disk_fails_the_export(tuned: Tuned, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "128k") as disk:
        folders = {"output_dir": disk / "out", "work_dir": disk / "work"}
        code, (*_, failed) = run(spec_of(tuned, tmp_path, format="adapter", **folders), tmp_path)
    assert (code, failed.code) == (1, "disk_full")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (MemoryError(), "out_of_memory"),
        (KeyError("a text of the prompt"), "internal_error"),
    ],
    ids=str,
)
def test_an_unexpected_error_has_a_code_and_no_text_of_its_own(error: Exception, code: str) -> None:
    failure = classify(error)
    assert failure.code == code
    assert str(error) == "" or str(error) not in failure.message
