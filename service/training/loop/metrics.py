"""Sums over examples, and the metrics computed from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

_SUMS: Final = (
    "loss_sum",
    "units",
    "correct",
    "judged",
    "tokens",
    "rewarded",
    "margin_sum",
    "pairs",
    "good",
    "good_reward_sum",
    "bad",
    "bad_reward_sum",
)


@dataclass(slots=True)
class Tally:
    """Counts over a set of examples: one step, or one pass over the validation rows.

    Means are taken over tokens or pairs and not over batches, so they do not depend on how rows
    were batched. `units` counts what the loss is averaged over: supervised tokens, or pairs.
    `correct` of `judged` tokens were the model's first choice. `tokens` counts all tokens except
    padding. The reward figures apply only to pairs and to judged answers.
    """

    loss_sum: float = 0.0
    units: int = 0
    correct: int = 0
    judged: int = 0
    tokens: int = 0
    rewarded: int = 0
    margin_sum: float = 0.0
    pairs: int = 0
    good: int = 0
    good_reward_sum: float = 0.0
    bad: int = 0
    bad_reward_sum: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    def add(self, *, loss_sum: float, units: int, correct: int, judged: int, tokens: int) -> None:
        self.loss_sum += loss_sum
        self.units += units
        self.correct += correct
        self.judged += judged
        self.tokens += tokens

    def add_rewards(self, margins: list[float]) -> None:
        """Add, for each pair, how much more its better answer gained than its worse one."""
        self.pairs += len(margins)
        self.rewarded += sum(margin > 0 for margin in margins)
        self.margin_sum += sum(margins)

    def add_answers(self, *, good: list[float], bad: list[float], right: int) -> None:
        """The rewards of good and of bad answers; `right` of them are on the right side."""
        self.good += len(good)
        self.good_reward_sum += sum(good)
        self.bad += len(bad)
        self.bad_reward_sum += sum(bad)
        self.rewarded += right

    def merge(self, totals: Callable[[Sequence[float]], list[float]]) -> None:
        """Turn this into the tally of all ranks; `totals` sums each value over them."""
        own = [getattr(self, name) for name in _SUMS]
        for name, mine, total in zip(_SUMS, own, totals(own), strict=True):
            setattr(self, name, type(mine)(total))

    def metrics(self, prefix: str) -> dict[str, float]:
        """Means, named as in `StepMetrics`."""
        found = {
            f"{prefix}loss": self.loss_sum / max(self.units, 1),
            f"{prefix}mean_token_accuracy": self.correct / max(self.judged, 1),
        }
        if self.pairs:
            found[f"{prefix}reward_accuracy"] = self.rewarded / self.pairs
            found[f"{prefix}reward_margin"] = self.margin_sum / self.pairs
        elif answers := self.good + self.bad:
            found[f"{prefix}reward_accuracy"] = self.rewarded / answers
            if self.good and self.bad:
                found[f"{prefix}reward_margin"] = (
                    self.good_reward_sum / self.good - self.bad_reward_sum / self.bad
                )
        return found

    def close(self) -> None:
        """Stop this tally's clock."""
        self.seconds = time.perf_counter() - self.began

    @property
    def tokens_per_second(self) -> float:
        """Throughput of a closed tally."""
        return self.tokens / max(self.seconds, 1e-9)
