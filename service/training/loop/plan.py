"""Plans a run: its examples, learning rates, evaluations, and arguments for the Trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from service.training.contract.hyperparameters import ReinforcementHyperparameters
from service.training.contract.spec import TrainSpec
from service.training.data.layout import Portion, Rows, checkpoint_steps, draw_examples
from service.training.data.tokenization import Example
from service.training.loop.checkpoints import RunIdentity
from service.training.model.models import ComputeDevice
from service.training.parallel.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that is ready to begin: the examples and their layout.

    `portions` are those of the files of a mixture; without any, an epoch has all examples.
    """

    spec: TrainSpec
    run: RunIdentity
    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    rows: Rows
    device: ComputeDevice
    ranks: Ranks = field(default_factory=Ranks)
    portions: tuple[Portion, ...] = ()

    @property
    def examples_per_epoch(self) -> int:
        if not self.portions:
            return len(self.training)
        return sum(portion.drawn for portion in self.portions)

    def drawn(self, epoch: int) -> Sequence[int]:
        """Indices of the training examples of an epoch, in no particular order."""
        if not self.portions:
            return range(len(self.training))
        return draw_examples(self.portions, seed=self.spec.seed, epoch=epoch)

    @property
    def evaluated_at(self) -> frozenset[int]:
        """The steps after which validation rows are scored, the last of which ends the run."""
        if self.spec.replay_until is not None:
            return frozenset()
        chosen, total = self.spec.hyperparameters, self.run.total_steps
        if isinstance(chosen, ReinforcementHyperparameters) and chosen.eval_interval != "auto":
            return frozenset({*range(chosen.eval_interval, total, chosen.eval_interval), total})
        return checkpoint_steps(total, self.spec.n_checkpoints)

    @property
    def packing(self) -> bool:
        return self.rows != "padded"


def total_steps(spec: TrainSpec, examples: int) -> int:
    """Return the number of optimizer steps in the whole run."""
    chosen = spec.hyperparameters
    return math.ceil(examples / chosen.batch_size) * chosen.n_epochs


def trainer_arguments(plan: Plan) -> dict[str, Any]:
    """Return the arguments that the Trainers of all methods have in common."""
    spec, chosen = plan.spec, plan.spec.hyperparameters
    return {
        "output_dir": str(spec.output_dir),
        "seed": spec.seed,
        "data_seed": spec.seed,
        "num_train_epochs": chosen.n_epochs,
        # The collator, not the Trainer, splits a batch into parts.
        "per_device_train_batch_size": chosen.batch_size,
        "gradient_accumulation_steps": 1,
        "learning_rate": chosen.learning_rate,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": plan.device.dtype == torch.bfloat16,
        "use_cpu": plan.device.type == "cpu",
        "gradient_checkpointing": spec.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "remove_unused_columns": False,
        # The callback decides when to log, evaluate and save.
        "logging_strategy": "no",
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "push_to_hub": False,
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": plan.device.type == "cuda",
    }


_WARMUP_SHARE: Final = 0.03


def rate_factor(step: int, total_steps: int) -> float:
    """Return the fraction of the full learning rate at a step, counted from 0.

    It rises linearly over a short warmup, then follows half a cosine toward 0. It is never 0
    itself: in a run of forty steps, a step without an update is a noticeable loss.
    """
    warmup = math.ceil(total_steps * _WARMUP_SHARE)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(total_steps - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
