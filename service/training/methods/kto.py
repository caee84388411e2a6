"""Kahneman-Tversky Optimization (KTO): TRL's KTOTrainer on labeled answers.

The loss falls as good answers become more likely than under the reference model, and as bad answers
become less likely. Both are measured from a reference point: the divergence between the model and
its reference, estimated on mismatched prompts and answers. TRL estimates it for each forward
pass; this trainer estimates it once for the whole optimizer batch. Good and bad answers have
weights in the loss, by default balanced by their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import torch
from torch import Tensor
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from service.training.contract.hyperparameters import Auto, KtoHyperparameters
from service.training.contract.protocol import Noted
from service.training.contract.spec import TrainSpec
from service.training.data.batches import extent
from service.training.data.tokenization import Example, LabeledSample
from service.training.loop.plan import Plan, trainer_arguments
from service.training.methods.reference import ReferenceTrainer

# Total weight of good answers relative to bad ones, at most (section 4.2 of the paper).
_MAX_RATIO: Final = 4 / 3


@dataclass(frozen=True, slots=True)
class LabelWeights:
    """Loss factors of good (desirable) and bad (undesirable) answers, and the number of each."""

    desirable: float
    undesirable: float
    good: int
    bad: int

    def resolved(self) -> dict[str, float]:
        """Return the values of the hyperparameters that may be `auto`."""
        return {"desirable_weight": self.desirable, "undesirable_weight": self.undesirable}

    def note(self) -> Noted:
        """Return a job event that reports the weights."""
        return Noted(
            code="label_weights",
            message=f"Label weights: {self.desirable:.4g} for each of {self.good} good answers, "
            f"{self.undesirable:.4g} for each of {self.bad} bad answers.",
        )


def weigh_labels(spec: TrainSpec, examples: Iterable[Example]) -> LabelWeights | None:
    """Return the weights for a run whose first epoch has these examples, or None without labels."""
    chosen = spec.hyperparameters
    if not isinstance(chosen, KtoHyperparameters):
        return None
    labels = [example.is_good for example in examples if isinstance(example, LabeledSample)]
    good = sum(labels)
    bad = len(labels) - good
    desirable, undesirable = balance(
        good, bad, _given(chosen.desirable_weight), _given(chosen.undesirable_weight)
    )
    return LabelWeights(desirable, undesirable, good, bad)


def _given(weight: float | Auto) -> float | None:
    return None if weight == "auto" else weight


def balance(
    good: int, bad: int, desirable: float | None = None, undesirable: float | None = None
) -> tuple[float, float]:
    """Return the weights of `good` good and `bad` bad answers. A weight that is None is balanced.

    The total weight of good answers is then 1 to 4/3 times that of bad ones, and the balanced
    weight is as close to 1 as possible. If both are None, the label with fewer answers gets the
    higher weight.
    """
    if not good or not bad or (desirable is not None and undesirable is not None):
        return desirable or 1.0, undesirable or 1.0
    if desirable is None and undesirable is None:
        desirable, undesirable = (None, 1.0) if good < bad else (1.0, None)
    if desirable is None:
        least = (undesirable or 1.0) * bad / good
        return _closest_to_1(least, _MAX_RATIO * least), undesirable or 1.0
    most = desirable * good / bad
    return desirable, _closest_to_1(most / _MAX_RATIO, most)


def _closest_to_1(least: float, most: float) -> float:
    """Return the number closest to 1 in the interval from `least` to `most`."""
    return min(max(1.0, least), most)


class LabeledTrainer(ReferenceTrainer, KTOTrainer):
    """Trainer with the loss of the KTO paper (arXiv 2402.01306), without dropout."""

    reference_point: Tensor | float = 0.0
    """Of the current batch, in nats: a scalar on the device."""

    def _arguments(self, plan: Plan) -> KTOConfig:
        chosen = plan.spec.hyperparameters
        weights = weigh_labels(plan.spec, (plan.training[at] for at in plan.drawn(0)))
        assert isinstance(chosen, KtoHyperparameters)
        assert isinstance(weights, LabelWeights)
        return KTOConfig(
            beta=chosen.beta,
            desirable_weight=weights.desirable,
            undesirable_weight=weights.undesirable,
            disable_dropout=True,
            max_length=None,
            **trainer_arguments(plan),
        )

    def _parts(self, inputs: dict[str, Any]) -> Iterator[tuple[dict[str, Any], float]]:
        self.reference_point = self._estimate_reference_point(inputs)
        yield from super()._parts(inputs)

    @torch.no_grad()
    def _estimate_reference_point(self, inputs: dict[str, Any]) -> Tensor | float:
        """Return the mean log-probability ratio, model to reference, of a batch's mismatches.

        In nats, and at least 0.
        """
        own, fillers = inputs["parts"], inputs.get("fillers", ())
        log_ratio_sum = torch.zeros((), dtype=torch.float64, device=self.args.device)
        with self.mixed_precision():
            for number, part in enumerate(chain(own, fillers)):
                self.extent = extent(part["mismatched"])
                rows = self._prepare_inputs(part["mismatched"])
                log_ratio = (self._log_probs(rows) - self._reference_log_probs(rows)).sum()
                if number < len(own):
                    log_ratio_sum += log_ratio
        units: int = inputs["units"]
        return (self.plan.ranks.total(log_ratio_sum) / units).clamp(min=0)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Compute this part's share of the mean loss over the whole batch, and update the tally."""
        tokens = inputs.pop("token_count")
        is_good = inputs.pop("is_good")
        inputs.pop("mismatched")
        numbers = inputs.pop("numbers")
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        log_ratios = outputs.log_probs.sum(dim=1) - self._reference_sums(inputs, numbers)
        surplus = torch.where(is_good, 1, -1) * (log_ratios - self.reference_point)
        weights = torch.where(is_good, self.desirable_weight, self.undesirable_weight)
        loss_sum: Tensor = (weights * torch.sigmoid(-self.beta * surplus)).sum()
        rewards = self.beta * log_ratios
        self.tally.add(
            loss_sum=loss_sum,
            units=len(is_good),
            correct=outputs.is_top1.sum(),
            judged=inputs["scored"].shape[1],
            tokens=tokens,
            good=is_good.sum(),
            good_reward_sum=rewards.where(is_good, 0).sum(),
            bad=(~is_good).sum(),
            bad_reward_sum=rewards.where(~is_good, 0).sum(),
            rewarded=(surplus > 0).sum(),  # on the right side of the reference point
        )
        return loss_sum / (len(is_good) if num_items_in_batch is None else num_items_in_batch)
