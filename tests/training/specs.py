"""Specs of runs from flat fields: those of the spec and its hyperparameters side by side."""

from __future__ import annotations

from typing import Any

from service.training import TrainSpec
from service.training.contract.hyperparameters import RESOLVED
from service.training.contract.methods import BY_SPEC_NAME

_NAMES = {name for form in RESOLVED.values() for name in form.model_fields}


def spec_of(**fields: Any) -> TrainSpec:
    """A spec. `warm_start_path` needs no name; `beta` is the method's own unless given."""
    if fields.get("warm_start_path") is not None:
        fields.setdefault("warm_start", "ft:tiny")
    method = BY_SPEC_NAME[fields.get("method", "sft")]
    chosen = {"learning_rate_multiplier": 1.0, "packing": False}
    if method.beta is not None:
        chosen["beta"] = method.beta
    chosen |= {name: value for name, value in fields.items() if name in _NAMES}
    rest = {name: value for name, value in fields.items() if name not in _NAMES}
    return TrainSpec.model_validate({**rest, "hyperparameters": chosen})
