"""Sums over supervised tokens, and what they come to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts one stretch of tokens: a step, or a pass over validation rows.

    Means are over tokens and not over batches, so they do not depend on how rows were
    batched. `tokens` counts all tokens but padding; the rest counts supervised ones.
    """

    loss_sum: float = 0.0
    correct: int = 0
    supervised: int = 0
    tokens: int = 0
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    def add(self, *, loss_sum: float, correct: int, supervised: int, tokens: int) -> None:
        self.loss_sum += loss_sum
        self.correct += correct
        self.supervised += supervised
        self.tokens += tokens

    @property
    def loss(self) -> float:
        """Nats a supervised token."""
        return self.loss_sum / max(self.supervised, 1)

    @property
    def accuracy(self) -> float:
        """The share of supervised tokens that were the model's first choice."""
        return self.correct / max(self.supervised, 1)

    def close(self) -> None:
        """Ends the time of this tally."""
        self.seconds = time.perf_counter() - self.began

    @property
    def tokens_per_second(self) -> float:
        """Of a closed tally."""
        return self.tokens / max(self.seconds, 1e-9)
