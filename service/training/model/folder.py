"""Checks of a base model's folder that need neither the model loaded nor torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from service.training.contract.failures import TrainingFailure
from service.training.contract.spec import TrainSpec
from service.training.model.stored_weights import unquantizable, untrainable

_SMALL_FILES: Final = (
    *("config.json", "tokenizer.json"),
    *("tokenizer_config.json", "generation_config.json"),
)
_HEAD_BYTES: Final = 1024 * 1024


def base_digest(folder: Path) -> str:
    """Return a SHA-256 of the base model: its small files, and each weight file's name, size, head.

    The head of a safetensors file lists every tensor with its shape and offset. Reading a whole
    16 GB model for each job would take longer than many jobs do.
    """
    digest = hashlib.sha256()
    for name in _SMALL_FILES:
        if (folder / name).is_file():
            digest.update(name.encode() + b"\0" + (folder / name).read_bytes())
    for weights in sorted(folder.glob("*.safetensors")):
        with weights.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        digest.update(f"{weights.name}\0{weights.stat().st_size}\0".encode() + head)
    return digest.hexdigest()


def check_folder(spec: TrainSpec) -> None:
    """Reject a folder that cannot be a model, brings its own code, or cannot be trained.

    Raises `TrainingFailure` (invalid_model).
    """
    folder = spec.base_model_path
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except OSError:
        raise invalid_model(spec, "its folder has no readable config.json") from None
    except ValueError:
        raise invalid_model(spec, "its config.json is not JSON") from None
    if not isinstance(config, dict):
        raise invalid_model(spec, "its config.json is not an object")
    if "auto_map" in config:
        raise invalid_model(spec, "it needs its own code, which is never run")
    if not any(folder.glob("*.safetensors")):
        raise invalid_model(spec, "its folder has no .safetensors file")
    quantization = spec.hyperparameters.quantization
    if why := untrainable(config) or unquantizable(config, quantization):
        raise invalid_model(spec, why)


def invalid_model(spec: TrainSpec, why: str) -> TrainingFailure:
    """Failure for an unusable base model, which it names by id, not by path."""
    return TrainingFailure(
        "invalid_model",
        f"Base model '{spec.base_model}' cannot be trained: {why}.",
        param="model",
    )
