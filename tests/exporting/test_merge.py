"""Tests of merged weights against PEFT's own merge, on small models of several shapes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor

from service.models.adapter_check import BaseLayout, check_adapter
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
safetensors = Lazy("safetensors.torch")
peft = Lazy("peft")
transformers = Lazy("transformers")
merging = Lazy("service.exporting.merge")

SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def base(tmp_path):
    """A function that saves a small model in bfloat16, in several files."""

    def make(config="LlamaConfig", **changes):
        torch.manual_seed(0)
        chosen = getattr(transformers, config)(**{**SMALL, **changes})
        model = transformers.AutoModelForCausalLM.from_config(chosen, dtype=torch.bfloat16)
        folder = tmp_path / "base"
        model.save_pretrained(folder, max_shard_size="20KB")
        (folder / "tokenizer.json").write_text("{}")
        assert len([*folder.glob("*.safetensors")]) > 2
        return folder

    return make


@pytest.fixture
def adapter(tmp_path):
    """A function that saves an adapter with random weights and returns PEFT's merged model."""

    def make(base, **changes):
        options = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", **changes}
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        tuned = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **options))
        with torch.no_grad():
            for name, weight in tuned.named_parameters():
                if "lora_" in name:
                    weight.normal_(0, 0.1)
        tuned.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
        check_adapter(tmp_path / "adapter", BaseLayout.read(base), max_rank=64)
        return tmp_path / "adapter", tuned.merge_and_unload(safe_merge=True).state_dict()

    return make


def weights(folder) -> dict[str, Tensor]:
    return {
        k: t
        for file in folder.glob("*.safetensors")
        for k, t in safetensors.load_file(file).items()
    }


@pytest.mark.parametrize(
    ("config", "changes", "lora"),
    [
        ("LlamaConfig", {}, {}),
        ("LlamaConfig", {"tie_word_embeddings": True}, {"use_rslora": True}),
        ("LlamaConfig", {}, {"target_modules": ["q_proj", "down_proj"], "r": 3, "lora_alpha": 5}),
        ("Qwen2Config", {}, {}),  # has biases, which stay
        (
            "LlamaConfig",
            {},
            {
                "rank_pattern": {"q_proj": 4, r"layers\.1\.mlp\..*": 2},
                "alpha_pattern": {"(k|v)_proj": 3},
                "use_rslora": True,
            },
        ),
    ],
)
def test_the_weights_are_those_that_peft_merges_rounded_once(
    base, adapter, tmp_path, config, changes, lora
):
    source = base(config, **changes)
    folder, expected = adapter(source, **lora)
    merging.merge(source, folder, tmp_path / "merged")
    made, before = weights(tmp_path / "merged"), weights(source)
    assert made.keys() == before.keys()
    for name, tensor in made.items():
        assert tensor.dtype == torch.bfloat16
        # float32 sums in another order may round differently, by one step.
        theirs = expected[name].to(torch.bfloat16)
        assert torch.allclose(tensor, theirs, rtol=2**-7, atol=0), name
        assert (tensor != theirs).float().mean() < 0.002, name
    assert any(not torch.equal(made[name], before[name]) for name in made)


def test_weights_of_32_bits_are_not_rounded(base, adapter, tmp_path):
    """llama.cpp's converter rounds them to f16, which has finer steps than the base's bfloat16."""
    source = base()
    folder, expected = adapter(source)
    merging.merge(source, folder, tmp_path / "merged", dtype=torch.float32)
    for name, tensor in weights(tmp_path / "merged").items():
        assert torch.allclose(tensor, expected[name], rtol=1e-5, atol=1e-7), name


def test_the_folder_is_a_model_as_the_base_is(base, adapter, tmp_path):
    source = base()
    folder, expected = adapter(source)
    merging.merge(source, folder, tmp_path / "merged")
    weights_and_config = {*source.glob("*.safetensors*"), source / "config.json"}
    made = {f.name for f in (tmp_path / "merged").iterdir()}
    assert made == {file.name for file in weights_and_config}
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "merged", dtype=torch.float32
    )
    ids = torch.arange(20).reshape(1, 20)
    as_peft = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    as_peft.load_state_dict(expected)
    off = (loaded(ids).logits - as_peft(ids).logits).abs().max()
    assert off < 0.02 * as_peft(ids).logits.abs().max()


def change(folder, file="adapter_config.json", **fields) -> None:
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | fields))


def test_a_text_part_that_is_nested_differently_is_found(base, adapter, tmp_path):
    source = base()
    folder, _ = adapter(source)
    merging.merge(source, folder, tmp_path / "merged")
    for file in source.glob("*.safetensors"):
        nested = {
            name.replace("model.", "model.language_model."): tensor
            for name, tensor in safetensors.load_file(file).items()
        }
        safetensors.save_file(nested, file)
    index = source / "model.safetensors.index.json"
    index.write_text(index.read_text().replace('"model.', '"model.language_model.'))
    merging.merge(source, folder, tmp_path / "nested")
    expected, made = weights(tmp_path / "merged"), weights(tmp_path / "nested")
    for name, tensor in expected.items():
        assert torch.equal(made[name.replace("model.", "model.language_model.")], tensor)


@pytest.mark.parametrize(
    "field", [{"lora_bias": True}, {"layer_replication": [[0, 2]]}, {"lora_alpha": "16"}]
)
def test_what_the_engine_would_not_serve_alike_is_refused(base, adapter, tmp_path, field):
    source = base()
    folder, _ = adapter(source)
    change(folder, **field)
    with pytest.raises(merging.MergeRefused, match=next(iter(field))):
        merging.merge(source, folder, tmp_path / "merged")


def test_a_quantised_base_is_refused(base, adapter, tmp_path):
    source = base()
    folder, _ = adapter(source)
    change(source, "config.json", quantization_config={"quant_method": "fp8"})
    with pytest.raises(merging.MergeRefused, match="quantized"):
        merging.merge(source, folder, tmp_path / "merged")


@pytest.mark.filterwarnings("ignore:Model (has|with) .tie_word_embeddings")
@pytest.mark.parametrize("config", ["LlamaConfig", "Gemma3TextConfig"])
def test_a_head_that_shares_the_weight_of_the_embeddings_gets_its_own(
    base, adapter, tmp_path, config
):
    source = base(config, tie_word_embeddings=True)
    folder, _ = adapter(source, target_modules=["q_proj", "lm_head"])
    merging.merge(source, folder, tmp_path / "merged")
    ids = torch.arange(20).reshape(1, 20)
    load = transformers.AutoModelForCausalLM.from_pretrained
    plain = load(source, dtype=torch.float32)
    before = plain(ids).logits
    tuned = peft.PeftModel.from_pretrained(plain, folder)(ids).logits
    made = load(tmp_path / "merged", dtype=torch.float32)
    assert torch.equal(
        made.get_input_embeddings().weight, weights(source)["model.embed_tokens.weight"]
    )
    assert (made(ids).logits - tuned).abs().max() < 0.02 * (tuned - before).abs().max()


# As in an engine, without bitsandbytes.
FULL = """
import resource, sys
from pathlib import Path
sys.modules["bitsandbytes"] = None
from service.exporting.merge import merge
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    merge(*map(Path, sys.argv[1:]))
except OSError as e:
    print(e)
"""


def test_a_disk_that_fills_up_during_a_merge_is_reported(base, adapter, tmp_path):
    source = base()
    folder, _ = adapter(source)
    run = [sys.executable, "-c", FULL, str(source), str(folder), str(tmp_path / "merged")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout


def test_a_damaged_base_is_told(base, adapter, tmp_path):
    source = base()
    folder, _ = adapter(source)
    file = max(source.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(merging.MergeRefused, match=f"{file.name} cannot be read"):
        merging.merge(source, folder, tmp_path / "merged")


def test_a_full_disk_is_told_before_anything_is_written(base, adapter, tmp_path, monkeypatch):
    source = base()
    folder, _ = adapter(source)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="are free at"):
        merging.merge(source, folder, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
