"""YAML of Unsloth (`unsloth train --config FILE`), whose fields are in sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetuned_migrate.configs.common import (
    adapter_of,
    batch_size,
    dora,
    epochs,
    quantization,
    seed,
    training_data,
)
from finetuned_migrate.configs.mapping import ImportedConfig, Mapper, model_id, modules, refuse
from finetuned_migrate.configs.reasons import REASONS

KIND = "Unsloth"
_SECTIONS = ("data", "training", "lora", "logging")
_DEFAULTS = {
    "training.training_type": "lora",
    "training.max_seq_length": 2048,
    "training.load_in_4bit": True,
    "training.num_epochs": 3,
    "training.learning_rate": 2e-4,
    "training.batch_size": 2,
    "training.gradient_accumulation_steps": 4,
    "training.random_seed": 3407,
    "training.packing": False,
    "lora.lora_r": 64,
    "lora.lora_alpha": 16,
    "lora.lora_dropout": 0.0,
    "lora.target_modules": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
}


def recognizes(fields: Mapping[str, Any]) -> bool:
    """Whether the fields look like Unsloth's."""
    return any(isinstance(fields.get(section), dict) for section in ("training", "lora"))


def read(fields: Mapping[str, Any]) -> ImportedConfig:
    """Return the job request of a configuration. Raises BadRequest if no job corresponds to it."""
    mapper = Mapper(KIND, _flat(fields), _DEFAULTS)
    kind = mapper.peek("training.training_type")
    if kind != "lora":
        raise refuse(
            f"training_type is '{kind}', and jobs train LoRA adapters only.",
            "Set training_type to lora.",
        )
    if mapper.peek("data.format_type") == "raw":
        raise refuse(
            "format_type is 'raw', and jobs train on chats, not on plain text.",
            "Write the data as chats.",
        )
    if mapper.peek("model") is None:
        raise refuse("The configuration names no model.", "Set model in the file.")
    adapter_of(mapper, "model", model_id(str(mapper.peek("model"))))
    mapper.ignore("training.training_type", "A job always trains a LoRA adapter.")
    local = mapper.peek("data.local_dataset")
    names = ", ".join(map(str, local)) if isinstance(local, list) else local
    training_data(mapper, "data.local_dataset" if names else "data.dataset",
                  names or mapper.peek("data.dataset"))  # fmt: skip
    mapper.ignore("data.format_type", "The format of a file is detected when it is uploaded.")
    seed(mapper, "training.random_seed")
    epochs(mapper, "training.num_epochs")
    batch_size(mapper, "training.batch_size", "training.gradient_accumulation_steps", "supervised")
    mapper.set("training.learning_rate", "learning_rate", float)
    mapper.set("training.max_seq_length", "max_seq_length", int)
    mapper.set("training.packing", "packing", bool)
    in_4bit = bool(mapper.peek("training.load_in_4bit"))
    quantization(mapper, ["training.load_in_4bit"], 4 if in_4bit else 16)
    mapper.set("lora.lora_r", "lora.r", int)
    mapper.set("lora.lora_alpha", "lora.alpha", int)
    mapper.set("lora.lora_dropout", "lora.dropout", float)
    mapper.set("lora.target_modules", "lora.target_modules", modules)
    if mapper.peek("lora.use_rslora"):
        mapper.set("lora.use_rslora", "lora.use_rslora", bool)
    dora(mapper, "lora.use_dora")
    return mapper.ended(REASONS)


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by their path: `training.num_epochs`."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _SECTIONS and isinstance(value, dict):
            flat.update({f"{name}.{inner}": found for inner, found in value.items()})
        else:
            flat[name] = value
    return flat
