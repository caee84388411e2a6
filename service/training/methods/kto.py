"""Kahneman-Tversky Optimization: TRL's KTOTrainer on our judged answers.

A good answer lowers the loss by how much more likely it has become than under the reference, a
bad one by how much less, each measured from a reference point: the divergence of the model from
its reference, estimated on mismatches of prompts and answers. TRL takes that point from what goes
through the model at once; here it is one of the whole optimizer batch.
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

from service.training.contract.channel import StopFlag
from service.training.data.batches import extent
from service.training.data.label_weights import LabelWeights, weigh_labels
from service.training.loop.plan import Plan, trainer_arguments
from service.training.methods.reference import ReferenceTrainer


class JudgedTrainer(ReferenceTrainer, KTOTrainer):
    """The loss of the KTO paper (arXiv 2402.01306), without dropout."""

    def __init__(
        self,
        model: Any,
        plan: Plan,
        tokenizer: PreTrainedTokenizerBase,
        flag: StopFlag,
        callbacks: list[TrainerCallback],
    ) -> None:
        weights = weigh_labels(plan.spec, plan.training)
        assert isinstance(weights, LabelWeights)
        super().__init__(
            model,
            plan,
            flag,
            args=KTOConfig(
                beta=plan.spec.beta or plan.spec.of_method.beta,
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
        """The mean over the mismatches of the whole batch of what they gained over the
        reference, at least 0, in nats."""
        own, fillers = inputs["parts"], inputs.get("fillers", ())
        gained = 0.0
        with self.accelerator.autocast():
            for number, part in enumerate(chain(own, fillers)):
                self.extent = extent(part["mismatched"])
                rows = self._prepare_inputs(part["mismatched"])
                found = (self._log_probs(rows) - self._reference_log_probs(rows)).sum()
                gained += float(found) if number < len(own) else 0.0
        (total,) = self.plan.ranks.totals([gained])
        units: int = inputs["units"]
        return max(total / units, 0.0)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The share of this part in the mean loss over the answers of the whole batch; counts
        what it saw."""
        tokens = int(inputs.pop("token_count"))
        is_good = inputs.pop("is_good")
        inputs.pop("mismatched")
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        gained = (outputs.log_probs - self._reference_log_probs(inputs)).sum(dim=1)
        surplus = torch.where(is_good, 1, -1) * (gained - self.reference_point)
        weights = torch.where(is_good, self.desirable_weight, self.undesirable_weight)
        loss_sum: Tensor = (weights * torch.sigmoid(-self.beta * surplus)).sum()
        self.tally.add(
            loss_sum=loss_sum.item(),
            units=len(is_good),
            correct=int(outputs.is_top1.sum()),
            judged=int(outputs.label_mask.sum()),
            tokens=tokens,
        )
        rewards = self.beta * gained.detach()
        self.tally.add_answers(
            good=rewards[is_good].tolist(),
            bad=rewards[~is_good].tolist(),
            right=int((surplus > 0).sum()),
        )
        return loss_sum / (len(is_good) if num_items_in_batch is None else num_items_in_batch)
