"""Checks of a base model's folder that need neither the model loaded nor torch."""

from __future__ import annotations

import json

from service.training.contract.failures import TrainingFailure
from service.training.contract.spec import TrainSpec
from service.training.model.stored_weights import unquantizable, untrainable


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
