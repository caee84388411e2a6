"""How much good and bad answers weigh in the loss of KTO."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.training.contract.protocol import Noted
from service.training.contract.spec import TrainSpec
from service.training.data.tokens import Example, JudgedSample

# Good answers may weigh up to a third more than bad ones in total (the paper, section 4.2).
_MOST: Final = 4 / 3


@dataclass(frozen=True, slots=True)
class LabelWeights:
    """Factors of the loss of a good (desirable) and of a bad (undesirable) answer."""

    desirable: float
    undesirable: float
    good: int
    bad: int

    def note(self) -> Noted:
        """A note for the owner of the job."""
        return Noted(
            code="label_weights",
            message=f"{self.good} good answers weigh {self.desirable:.4g} each, {self.bad} bad "
            f"answers {self.undesirable:.4g} each.",
        )


def weigh_labels(spec: TrainSpec, examples: Iterable[Example]) -> LabelWeights | None:
    """The weights of a run over `examples`; None where the method knows no labels."""
    if spec.of_method.row_format != "labeled":
        return None
    labels = [example.is_good for example in examples if isinstance(example, JudgedSample)]
    good = sum(labels)
    bad = len(labels) - good
    desirable, undesirable = balance(good, bad, spec.desirable_weight, spec.undesirable_weight)
    return LabelWeights(desirable, undesirable, good, bad)


def balance(
    good: int, bad: int, desirable: float | None = None, undesirable: float | None = None
) -> tuple[float, float]:
    """The weights of `good` and `bad` answers, where None means "balance the two".

    All good answers together then weigh 1 to 4/3 times as much as all bad ones. A weight that
    is not given stays as close to 1 as that allows. If neither is given, the label with fewer
    answers gets the higher weight.
    """
    if not good or not bad or (desirable is not None and undesirable is not None):
        return desirable or 1.0, undesirable or 1.0
    if desirable is None and undesirable is None:
        desirable, undesirable = (None, 1.0) if good < bad else (1.0, None)
    if desirable is None:
        least = (undesirable or 1.0) * bad / good
        return _within(least, _MOST * least), undesirable or 1.0
    most = desirable * good / bad
    return desirable, _within(most / _MOST, most)


def _within(least: float, most: float) -> float:
    """The number nearest to 1 from `least` to `most`."""
    return min(max(1.0, least), most)
