"""Training methods and the trainer class of each. All of them import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.training.contract.methods import SpecMethod
from service.training.methods.dpo import PreferenceTrainer
from service.training.methods.kto import JudgedTrainer
from service.training.methods.reinforcement import ReinforcementTrainer
from service.training.methods.sft import SupervisedTrainer

TRAINERS: Final[
    Mapping[
        SpecMethod,
        type[SupervisedTrainer | PreferenceTrainer | JudgedTrainer | ReinforcementTrainer],
    ]
] = {
    "sft": SupervisedTrainer,
    "dpo": PreferenceTrainer,
    "kto": JudgedTrainer,
    "pretraining": SupervisedTrainer,
    "reinforcement": ReinforcementTrainer,
}
