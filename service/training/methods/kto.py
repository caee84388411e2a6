"""Kahneman-Tversky Optimization (KTO): TRL's KTOTrainer on judged answers.

The loss falls as good answers become more likely than under the reference model, and as bad answers
become less likely. Both are measured from a reference point: the divergence between the model and
its reference, estimated on mismatched prompts and answers. TRL estimates it for each forward
pass; this trainer estimates it once for the whole optimizer batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from service.training.contract.child_process import StopFlag
from service.training.contract.hyperparameters import KtoHyperparameters
from service.training.data.batches import extent
from service.training.data.label_weights import LabelWeights, weigh_labels
from service.training.loop.plan import Plan, trainer_arguments
from service.training.methods.reference import ReferenceTrainer


class JudgedTrainer(ReferenceTrainer, KTOTrainer):
    """Trainer with the loss of the KTO paper (arXiv 2402.01306), without dropout."""

    def __init__(
        self,
        model: Any,
        plan: Plan,
        tokenizer: PreTrainedTokenizerBase,
        flag: StopFlag,
        callbacks: list[TrainerCallback],
    ) -> None:
        chosen = plan.spec.hyperparameters
        weights = weigh_labels(plan.spec, (plan.training[at] for at in plan.drawn(0)))
        assert isinstance(chosen, KtoHyperparameters)
        assert isinstance(weights, LabelWeights)
        super().__init__(
            model,
            plan,
            flag,
            args=KTOConfig(
                beta=chosen.beta,
                desirable_weight=weights.desirable,
                undesirable_weight=weights.undesirable,
                disable_dropout=True,
                **trainer_arguments(plan),
            ),
            tokenizer=tokenizer,
            callbacks=callbacks,
        )
        self.reference_point = 0.0  # of the batch, in nats

    def _parts(self, inputs: dict[str, Any]) -> Iterator[tuple[dict[str, Any], float]]:
        self.reference_point = self._estimate_reference_point(inputs)
        yield from super()._parts(inputs)

    @torch.no_grad()
    def _estimate_reference_point(self, inputs: dict[str, Any]) -> float:
        """Mean log-probability ratio, model to reference, of the mismatches of the whole batch.

        In nats, and at least 0.
        """
        own, fillers = inputs["parts"], inputs.get("fillers", ())
        log_ratio_sum = 0.0
        with self.mixed_precision():
            for number, part in enumerate(chain(own, fillers)):
                self.extent = extent(part["mismatched"])
                rows = self._prepare_inputs(part["mismatched"])
                log_ratio = (self._log_probs(rows) - self._reference_log_probs(rows)).sum()
                log_ratio_sum += float(log_ratio) if number < len(own) else 0.0
        (total,) = self.plan.ranks.totals([log_ratio_sum])
        units: int = inputs["units"]
        return max(total / units, 0.0)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Compute this part's share of the mean loss over the whole batch, and update the tally."""
        tokens = int(inputs.pop("token_count"))
        is_good = inputs.pop("is_good")
        inputs.pop("mismatched")
        numbers = inputs.pop("numbers")
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        log_ratios = outputs.log_probs.sum(dim=1) - self._reference_sums(inputs, numbers)
        surplus = torch.where(is_good, 1, -1) * (log_ratios - self.reference_point)
        weights = torch.where(is_good, self.desirable_weight, self.undesirable_weight)
        loss_sum: Tensor = (weights * torch.sigmoid(-self.beta * surplus)).sum()
        self.tally.add(
            loss_sum=loss_sum.item(),
            units=len(is_good),
            correct=int(outputs.is_top1.sum()),
            judged=int(outputs.label_mask.sum()),
            tokens=tokens,
        )
        rewards = self.beta * log_ratios.detach()
        self.tally.add_answers(
            good=rewards[is_good].tolist(),
            bad=rewards[~is_good].tolist(),
            right=int((surplus > 0).sum()),
        )
        return loss_sum / (len(is_good) if num_items_in_batch is None else num_items_in_batch)
