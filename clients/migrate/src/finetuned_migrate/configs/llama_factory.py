"""YAML of LLaMA-Factory (`llamafactory-cli train FILE`)."""

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

KIND = "LLaMA-Factory"
_METHODS: dict[str, Method] = {
    "sft": "supervised",
    "dpo": "dpo",
    "kto": "kto",
    "pt": "pretraining",
}
_DEFAULTS: dict[str, Any] = {
    "stage": "sft",
    "finetuning_type": "lora",
    "lora_rank": 8,
    "lora_target": "all",
    "lora_dropout": 0.0,
    "cutoff_len": 2048,
    "learning_rate": 5e-5,
    "num_train_epochs": 3.0,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "seed": 42,
    "packing": False,
    "pref_beta": 0.1,
    "quantization_bit": 16,
}


def recognizes(fields: Mapping[str, Any]) -> bool:
    """Whether the fields look like LLaMA-Factory's."""
    return "model_name_or_path" in fields and bool(
        {"stage", "finetuning_type", "cutoff_len", "template"} & fields.keys()
    )


def read(fields: Mapping[str, Any]) -> ImportedConfig:
    """Return the job request of a configuration. Raises BadRequest if no job corresponds to it."""
    alpha = 2 * int(fields.get("lora_rank") or _DEFAULTS["lora_rank"])
    mapper = Mapper(KIND, fields, {**_DEFAULTS, "lora_alpha": alpha})
    _check(mapper)
    adapter_of(mapper, "model_name_or_path", model_id(str(mapper.peek("model_name_or_path"))))
    method = _METHODS[str(mapper.peek("stage"))]
    mapper.method("stage", method)
    mapper.ignore("finetuning_type", "A job always trains a LoRA adapter.")
    training_data(mapper, "dataset", mapper.peek("dataset"))
    training_data(mapper, "eval_dataset", mapper.peek("eval_dataset"), validation=True)
    seed(mapper, "seed")
    epochs(mapper, "num_train_epochs")
    batch_size(mapper, "per_device_train_batch_size", "gradient_accumulation_steps", method)
    mapper.set("learning_rate", "learning_rate", float)
    mapper.set("cutoff_len", "max_seq_length", int)
    packing(mapper, "packing", method)
    quantization(mapper, ["quantization_bit"], int(mapper.peek("quantization_bit")))
    _lora(mapper)
    beta(mapper, "pref_beta", method)
    if method == "kto":
        mapper.set("kto_chosen_weight", "desirable_weight", float)
        mapper.set("kto_rejected_weight", "undesirable_weight", float)
    validation_share(mapper, "val_size")
    if mapper.peek("load_best_model_at_end"):
        mapper.set("load_best_model_at_end", "keep_best", bool)
    return mapper.ended(REASONS)


def _check(mapper: Mapper) -> None:
    kind, stage = mapper.peek("finetuning_type"), mapper.peek("stage")
    if kind != "lora":
        raise refuse(
            f"finetuning_type is '{kind}', and jobs train LoRA adapters only.",
            "Set finetuning_type to lora.",
        )
    if stage not in _METHODS:
        raise refuse(
            f"stage is '{stage}', and jobs have the methods supervised (sft), dpo, kto and "
            "pretraining (pt).",
            "Set stage to sft, dpo, kto or pt.",
        )
    loss = mapper.peek("pref_loss")
    if stage == "dpo" and loss not in (None, "sigmoid"):
        raise refuse(
            f"pref_loss is '{loss}', and the method dpo has the loss sigmoid.",
            "Set pref_loss to sigmoid.",
        )
    mapper.ignore("pref_loss", "The method dpo always has the loss sigmoid.")


def _lora(mapper: Mapper) -> None:
    mapper.set("lora_rank", "lora.r", int)
    mapper.set("lora_alpha", "lora.alpha", int)
    mapper.set("lora_dropout", "lora.dropout", float)
    mapper.set("lora_target", "lora.target_modules", modules)
    if mapper.peek("use_rslora"):
        mapper.set("use_rslora", "lora.use_rslora", bool)
    dora(mapper, "use_dora")
    mapper.ignore("adapter_name_or_path", "Import the adapter, and name the model as warm_start.")
