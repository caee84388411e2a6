"""YAML of Axolotl (`axolotl train FILE`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetuned_migrate.configs.common import (
    adapter_of,
    batch_size,
    beta,
    dora,
    epochs,
    packing,
    quantization,
    seed,
    training_data,
    validation_share,
)
from finetuned_migrate.configs.mapping import (
    ImportedConfig,
    Mapper,
    Method,
    model_id,
    modules,
    refuse,
)
from finetuned_migrate.configs.reasons import REASONS

KIND = "Axolotl"
_METHODS: dict[object, Method] = {None: "supervised", "dpo": "dpo", "kto": "kto"}
_DEFAULTS = {
    "micro_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "num_epochs": 1.0,
    "sequence_len": 512,
    "lora_dropout": 0.0,
    "seed": 42,
    "sample_packing": False,
}


def recognizes(fields: Mapping[str, Any]) -> bool:
    """Whether the fields look like Axolotl's."""
    return "base_model" in fields and bool(
        {"adapter", "datasets", "micro_batch_size", "sequence_len"} & fields.keys()
    )


def read(fields: Mapping[str, Any]) -> ImportedConfig:
    """Return the job request of a configuration. Raises BadRequest if no job corresponds to it."""
    mapper = Mapper(KIND, fields, _DEFAULTS)
    _check(mapper)
    adapter_of(mapper, "base_model", model_id(str(mapper.peek("base_model"))))
    method = _METHODS[mapper.peek("rl")]
    mapper.method("rl", method)
    training_data(mapper, "datasets", _paths(mapper.peek("datasets")))
    training_data(mapper, "test_datasets", _paths(mapper.peek("test_datasets")), validation=True)
    seed(mapper, "seed")
    epochs(mapper, "num_epochs")
    batch_size(mapper, "micro_batch_size", "gradient_accumulation_steps", method)
    mapper.set("learning_rate", "learning_rate", float)
    mapper.set("sequence_len", "max_seq_length", int)
    packing(mapper, "sample_packing", method)
    _quantization(mapper)
    _lora(mapper)
    beta(mapper, "rl_beta", method)
    if method == "kto":
        mapper.set("kto_desirable_weight", "desirable_weight", float)
        mapper.set("kto_undesirable_weight", "undesirable_weight", float)
    validation_share(mapper, "val_set_size")
    if mapper.peek("early_stopping_patience"):
        mapper.set("early_stopping_patience", "early_stopping.patience", int)
    if mapper.peek("load_best_model_at_end"):
        mapper.set("load_best_model_at_end", "keep_best", bool)
    return mapper.ended(REASONS)


def _check(mapper: Mapper) -> None:
    adapter, method = mapper.peek("adapter"), mapper.peek("rl")
    if adapter not in ("lora", "qlora"):
        raise refuse(
            f"adapter is {adapter or 'not set'}, and jobs train LoRA adapters only.",
            "Set adapter to lora or qlora.",
        )
    if method not in _METHODS:
        raise refuse(
            f"rl is '{method}', and jobs have the methods supervised, dpo and kto.",
            "Set rl to dpo or kto, or remove it.",
        )


def _quantization(mapper: Mapper) -> None:
    bits = 16
    if mapper.peek("load_in_4bit") or mapper.peek("adapter") == "qlora":
        bits = 4
    elif mapper.peek("load_in_8bit"):
        bits = 8
    quantization(mapper, ["adapter", "load_in_4bit", "load_in_8bit"], bits)


def _lora(mapper: Mapper) -> None:
    mapper.set("lora_r", "lora.r", int)
    mapper.set("lora_alpha", "lora.alpha", int)
    mapper.set("lora_dropout", "lora.dropout", float)
    if mapper.peek("lora_target_linear"):
        mapper.put(["lora_target_linear"], "lora.target_modules", "all-linear")
        mapper.ignore("lora_target_modules", "lora_target_linear covers all linear layers.")
    else:
        mapper.set("lora_target_modules", "lora.target_modules", modules)
    if mapper.peek("peft_use_rslora"):
        mapper.set("peft_use_rslora", "lora.use_rslora", bool)
    dora(mapper, "peft_use_dora")
    mapper.ignore("lora_model_dir", "Import the adapter, and name the model as warm_start.")


def _paths(datasets: Any) -> str | None:
    """The names of data sets, which are a list of objects with `path`."""
    if not isinstance(datasets, list):
        return None
    return ", ".join(str(one.get("path")) for one in datasets if isinstance(one, dict))
