"""Weights of good and bad answers in the KTO loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.training.contract.hyperparameters import Auto, KtoHyperparameters
from service.training.contract.protocol import Noted
from service.training.contract.spec import TrainSpec
from service.training.data.tokenization import Example, JudgedSample

# Total weight of good answers relative to bad ones, at most (section 4.2 of the paper).
_MAX_RATIO: Final = 4 / 3


@dataclass(frozen=True, slots=True)
class LabelWeights:
    """Loss factors of good (desirable) and bad (undesirable) answers, and the number of each."""

    desirable: float
    undesirable: float
    good: int
    bad: int

    def note(self) -> Noted:
        """A job event that reports the weights."""
        return Noted(
            code="label_weights",
            message=f"Label weights: {self.desirable:.4g} for each of {self.good} good answers, "
            f"{self.undesirable:.4g} for each of {self.bad} bad answers.",
        )


def weigh_labels(spec: TrainSpec, examples: Iterable[Example]) -> LabelWeights | None:
    """The weights for a run whose first epoch has these examples, or None without labels."""
    chosen = spec.hyperparameters
    if not isinstance(chosen, KtoHyperparameters):
        return None
    labels = [example.is_good for example in examples if isinstance(example, JudgedSample)]
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
    """The weights of `good` good and `bad` bad answers. A weight that is None is balanced.

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
        return _within(least, _MAX_RATIO * least), undesirable or 1.0
    most = desirable * good / bad
    return desirable, _within(most / _MAX_RATIO, most)


def _within(least: float, most: float) -> float:
    """The number closest to 1 in the interval from `least` to `most`."""
    return min(max(1.0, least), most)
