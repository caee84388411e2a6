"""Compares the model with a reference, and keeps the reference's scores.

The reference is the same model with different adapter weights, never a second model: the adapter is
switched off or, after a warm start, replaced by TRL's frozen "ref" copy of the initial adapter.

The reference does not change, so its score of an example is the same in every epoch and every
evaluation. A run computes it when it first sees the example, and keeps it, also in checkpoints.
From the second epoch on, a step then needs no forward pass of the reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from service.training.loop.plan import Plan
from service.training.methods.trainer import AdapterTrainer
from service.training.parallel.ranks import Ranks

STATE_NAME: Final = "reference_scores.safetensors"
_KEY: Final = "scores"


class ReferenceScores:
    """Log-probabilities of answers under the reference, in nats: [examples, rows of each].

    They stay on the device, so that no step waits for it to read or to write them.
    """

    def __init__(self, examples: int, rows: int, device: torch.device | str = "cpu") -> None:
        self._scores = torch.full((examples, rows), math.nan, dtype=torch.float64, device=device)
        self._known = [False] * examples

    def get(self, numbers: Sequence[int]) -> Tensor | None:
        """Return the scores of these examples, or None if one is not known yet.

        The order is that of a part: the first rows of all examples, then the second ones.
        """
        if not all(self._known[number] for number in numbers):
            return None
        return self._scores[self._places(numbers)].T.flatten()

    def put(self, numbers: Sequence[int], scores: Tensor) -> None:
        """Keep the scores of these examples, in the same order."""
        rows = self._scores.shape[1]
        self._scores[self._places(numbers)] = scores.detach().double().view(rows, -1).T
        for number in numbers:
            self._known[number] = True

    def _places(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers).to(self._scores.device, non_blocking=True)

    def _set(self, scores: Tensor) -> None:
        self._scores = scores.to(self._scores.device)
        self._known = (~scores.isnan().any(dim=1)).tolist()

    def share(self, ranks: Ranks) -> None:
        """Share the scores that any rank has with all ranks."""
        if ranks.size == 1:
            return
        both = torch.stack([self._scores.nan_to_num(), (~self._scores.isnan()).double()])
        sums = torch.tensor(ranks.totals(both.flatten().tolist()), dtype=torch.float64)
        total, count = sums.view(both.shape)
        self._set(total / count)  # 0 / 0 is NaN: no rank has it

    def write(self, checkpoint: Path) -> None:
        """Add the scores to a checkpoint that is not sealed yet. Raises OSError."""
        save_file({_KEY: self._scores.cpu()}, checkpoint / STATE_NAME)

    def read(self, checkpoint: Path) -> None:
        """Restore the scores from a verified checkpoint, if it has those of this run."""
        try:
            found = load_file(checkpoint / STATE_NAME).get(_KEY)
        except (OSError, SafetensorError):
            return  # of an older version: they are computed again
        if found is not None and found.shape == self._scores.shape:
            self._set(found)


REFERENCE: Final = "ref"  # TRL's name


class _Sharing(TrainerCallback):
    """Shares the reference's scores among the ranks, which see other examples in each epoch."""

    def __init__(self, trainer: ReferenceTrainer) -> None:
        self._trainer = trainer

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self._trainer.reference_scores.share(self._trainer.plan.ranks)


class ComparingTrainer(AdapterTrainer):
    """Trainer that computes log-probabilities of the trained model and its reference."""

    @torch.no_grad()
    def _log_probs(self, rows: dict[str, Any]) -> Tensor:
        """Score the tokens in `rows` with the trained model: log-probabilities without gradient."""
        with disable_gradient_checkpointing(self._adapted, self.args.gradient_checkpointing_kwargs):
            outputs = self.model(**rows, use_cache=False, fused_lm_head=True)
        log_probs: Tensor = outputs.log_probs
        return log_probs

    @torch.no_grad()
    def _reference_log_probs(self, rows: dict[str, Any]) -> Tensor:
        """Score the tokens in `rows` with the reference: log-probabilities without gradient."""
        adapted = self._adapted
        name = REFERENCE if REFERENCE in adapted.peft_config else None
        with use_adapter(adapted, adapter_name=name):
            return self._log_probs(rows)


class ReferenceTrainer(ComparingTrainer):
    """Trainer that compares fixed answers with its reference, which scores each of them once.

    In a class statement, it must precede TRL's trainer among the bases.
    """

    def __init__(self, model: Any, plan: Plan, *arguments: Any) -> None:
        super().__init__(model, plan, *arguments)
        if plan.spec.warm_start_path is None and REFERENCE in model.peft_config:
            # A fresh adapter equals the base model, and switching it off takes no memory.
            model.delete_adapter(REFERENCE)
        examples = len(plan.training) + len(plan.validation)
        self.reference_scores = ReferenceScores(
            examples, len(plan.training[0].rows), self.args.device
        )
        self.add_callback(_Sharing(self))

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # already tokenized, with the same prompt that serving sends

    def _reference_sums(self, rows: dict[str, Any], numbers: Sequence[int]) -> Tensor:
        """Score each answer in `rows` with the reference: log-probabilities without gradient.

        `numbers` are those of the examples. They are computed once in a run.
        """
        known, ranks = self.reference_scores.get(numbers), self.plan.ranks
        is_missing = known is None
        if ranks.size > 1:  # with FSDP, all ranks take part in a forward pass, or none
            is_missing = ranks.totals([float(is_missing)])[0] > 0
        if known is not None and not is_missing:
            return known.float()
        sums = self._reference_log_probs(rows).sum(dim=1)
        self.reference_scores.put(numbers, sums)
        return sums

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.reference_scores.share(self.plan.ranks)
        super()._save_checkpoint(model, trial)

    def _write_state(self, folder: Path, step: int) -> None:
        super()._write_state(folder, step)
        self.reference_scores.write(folder)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint is not None:
            self.reference_scores.read(Path(checkpoint))
