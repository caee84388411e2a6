"""Tests of `finetuned import-config`: configurations of other trainers as job requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from finetuned.errors import BadRequest
from finetuned_cli.app import run
from finetuned_migrate.configs import ImportedConfig, read_config

from service.jobs.schemas.create import CreateJob

LLAMA_FACTORY = """
### model
model_name_or_path: Qwen/Qwen2.5-7B-Instruct
trust_remote_code: true
quantization_bit: 4
quantization_method: bnb

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: q_proj,v_proj

### dataset
dataset: identity,alpaca_en_demo
template: qwen
cutoff_len: 1024
max_samples: 500
overwrite_cache: true
preprocessing_num_workers: 8

### output
output_dir: saves/qwen
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
report_to: none

### train
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
learning_rate: 1.0e-4
num_train_epochs: 2.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null

### eval
val_size: 0.1
per_device_eval_batch_size: 1
eval_strategy: steps
eval_steps: 500
"""
DPO = """
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: dpo
finetuning_type: lora
lora_rank: 8
pref_beta: 0.2
pref_loss: sigmoid
dataset: pairs
learning_rate: 5.0e-6
packing: true
"""
AXOLOTL = """
base_model: mistralai/Mistral-7B-Instruct-v0.3
model_type: MistralForCausalLM
tokenizer_type: AutoTokenizer
load_in_8bit: false
load_in_4bit: true
strict: false
chat_template: chatml
datasets:
  - path: acme/support-chats
    type: chat_template
    field_messages: messages
dataset_prepared_path:
val_set_size: 0.05
output_dir: ./outputs/qlora-out
adapter: qlora
lora_model_dir:
sequence_len: 4096
sample_packing: true
pad_to_sequence_len: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules:
lora_target_linear: true
wandb_project: support
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 3
optimizer: paged_adamw_32bit
lr_scheduler: cosine
learning_rate: 0.0002
train_on_inputs: false
bf16: auto
gradient_checkpointing: true
early_stopping_patience: 3
flash_attention: true
warmup_steps: 10
evals_per_epoch: 4
saves_per_epoch: 1
weight_decay: 0.0
special_tokens:
  pad_token: "</s>"
"""
UNSLOTH = """
model: unsloth/Llama-3.2-1B-Instruct-unsloth-bnb-4bit
data:
  local_dataset: [chats.jsonl]
  format_type: auto
training:
  training_type: lora
  max_seq_length: 2048
  load_in_4bit: true
  output_dir: outputs
  num_epochs: 2
  learning_rate: 0.0002
  batch_size: 2
  gradient_accumulation_steps: 4
  warmup_steps: 5
  max_steps: 0
  weight_decay: 0.01
  random_seed: 3407
  packing: false
  gradient_checkpointing: "unsloth"
lora:
  lora_r: 16
  lora_alpha: 16
  lora_dropout: 0.0
  target_modules: "q_proj,k_proj"
  use_rslora: true
  finetune_vision_layers: true
logging:
  enable_wandb: false
  wandb_token: secret-of-ann
"""


def read(tmp_path: Path, text: str) -> ImportedConfig:
    file = tmp_path / "config.yaml"
    file.write_text(text, "utf-8")
    found = read_config(file)
    body = json.loads(json.dumps(found.request).replace("file-\\u2026", "file-abc"))
    CreateJob.model_validate(body)  # the api accepts it
    return found


def hyperparameters(found: ImportedConfig, method: str = "supervised") -> dict[str, Any]:
    assert found.request["method"]["type"] == method
    return found.request["method"][method]["hyperparameters"]


def test_a_yaml_of_llama_factory(tmp_path):
    found = read(tmp_path, LLAMA_FACTORY)
    assert found.kind == "LLaMA-Factory"
    assert found.request["model"] == "qwen2.5-7b-instruct"
    assert found.request["seed"] == 42
    assert hyperparameters(found) == {
        "n_epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-4,
        "max_seq_length": 1024,
        "packing": False,
        "quantization": "nf4",
        "lora": {"r": 16, "alpha": 32, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]},
        "validation_share": 0.1,
    }
    places = {place.field: place for place in found.fields}
    assert places["lora_rank"].to == "method.supervised.hyperparameters.lora.r"
    assert "LLaMA-Factory's default" in str(places["lora_alpha"].note)
    assert "cosine schedule" in str(places["warmup_ratio"].note)
    assert places["resume_from_checkpoint"].note == "It has no value."
    assert any("identity,alpaca_en_demo" in task for task in found.to_do)


def test_a_dpo_yaml_of_llama_factory_without_quantization(tmp_path):
    found = read(tmp_path, DPO)
    chosen = hyperparameters(found, "dpo")
    assert (chosen["beta"], chosen["quantization"], chosen["batch_size"]) == (0.2, "none", 8)
    assert "packing" not in chosen
    assert "packing" in [place.field for place in found.ignored]


def test_a_yaml_of_axolotl(tmp_path):
    found = read(tmp_path, AXOLOTL)
    assert found.kind == "Axolotl"
    assert found.request["model"] == "mistral-7b-instruct-v0.3"
    assert hyperparameters(found) == {
        "n_epochs": 3,
        "batch_size": 8,
        "learning_rate": 2e-4,
        "max_seq_length": 4096,
        "packing": True,
        "quantization": "nf4",
        "lora": {"r": 32, "alpha": 16, "dropout": 0.05, "target_modules": "all-linear"},
        "validation_share": 0.05,
        "early_stopping": {"patience": 3},
    }
    assert any("acme/support-chats" in task for task in found.to_do)


def test_a_kto_yaml_of_axolotl(tmp_path):
    text = AXOLOTL + "rl: kto\nrl_beta: 0.3\nkto_undesirable_weight: 2\nload_best_model_at_end: 1\n"
    text = text.replace("gradient_accumulation_steps: 4", "gradient_accumulation_steps: 1")
    text = text.replace("micro_batch_size: 2", "micro_batch_size: 1")
    chosen = hyperparameters(read(tmp_path, text), "kto")
    assert (chosen["beta"], chosen["undesirable_weight"], chosen["batch_size"]) == (0.3, 2.0, 2)
    assert chosen["keep_best"] is True


def test_a_yaml_of_unsloth(tmp_path):
    found = read(tmp_path, UNSLOTH)
    assert found.kind == "Unsloth"
    assert found.request["model"] == "llama-3.2-1b-instruct"
    assert found.request["seed"] == 3407
    assert hyperparameters(found) == {
        "n_epochs": 2,
        "batch_size": 8,
        "learning_rate": 2e-4,
        "max_seq_length": 2048,
        "packing": False,
        "quantization": "nf4",
        "lora": {
            "r": 16,
            "alpha": 16,
            "dropout": 0.0,
            "target_modules": ["q_proj", "k_proj"],
            "use_rslora": True,
        },
    }
    assert "secret-of-ann" not in found.model_dump_json()


@pytest.mark.parametrize("text", [LLAMA_FACTORY, DPO, AXOLOTL, UNSLOTH])
def test_each_field_has_a_place_or_a_reason_of_its_own(tmp_path, text):
    found = read(tmp_path, text)
    unexplained = [p.field for p in found.fields if "does not know the field" in str(p.note)]
    assert unexplained == []
    assert all(place.note for place in found.ignored)


def test_an_unknown_field_is_named(tmp_path):
    found = read(tmp_path, AXOLOTL + "frobnicate: 7\n")
    (place,) = [p for p in found.ignored if p.field == "frobnicate"]
    assert place.note == "This client does not know the field."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("- a\n", "has no fields"),
        ("model: x\n", "of any of these trainers: LLaMA-Factory, Axolotl, Unsloth"),
        (LLAMA_FACTORY.replace("finetuning_type: lora", "finetuning_type: full"), "LoRA adapters"),
        (LLAMA_FACTORY.replace("stage: sft", "stage: ppo"), "stage is 'ppo'"),
        (DPO.replace("sigmoid", "orpo"), "pref_loss is 'orpo'"),
        (AXOLOTL.replace("adapter: qlora", "adapter:"), "adapter is not set"),
        (AXOLOTL + "rl: grpo\n", "rl is 'grpo'"),
        (UNSLOTH.replace("training_type: lora", "training_type: full"), "'full'"),
        (UNSLOTH.replace("format_type: auto", "format_type: raw"), "plain text"),
        (LLAMA_FACTORY.replace("lora_rank: 16", "lora_rank: many"), "wrong type"),
        (LLAMA_FACTORY.replace("1.0e-4", "[1]"), "learning_rate has a value of the wrong type"),
    ],
)
def test_what_no_job_corresponds_to_is_refused(tmp_path, text, words):
    with pytest.raises(BadRequest, match=words.replace("[", r"\[")):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadRequest, match="cannot be read"):
        read_config(tmp_path / "none.yaml")


def test_the_command_prints_the_request_and_what_became_of_each_field(tmp_path, capsys):
    file = tmp_path / "config.yaml"
    file.write_text(AXOLOTL, "utf-8")
    assert run(["import-config", str(file)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == read_config(file).request
    assert "lora_r → method.supervised.hyperparameters.lora.r" in printed.err
    assert "optimizer is ignored: The service trains with AdamW" in printed.err
    assert "Upload the data set (acme/support-chats)" in printed.err
    assert run(["import-config", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_config(file).model_dump()
    assert run(["import-config", str(tmp_path / "none.yaml")]) == 1
