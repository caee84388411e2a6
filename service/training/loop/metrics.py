"""Sums the metrics of examples, and computes the advantages of sampled answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

# TRL adds it to the standard deviation.
_LEAST_DEVIATION: Final = 1e-4
_OF_THIS_RANK: Final = ("began", "seconds", "on_device")


def advantages(rewards: Sequence[float | None]) -> list[float]:
    """Return how much better each answer is than its group, in standard deviations of the group.

    An answer without a reward does not belong to the group, and gets 0. So do all answers if fewer
    than two have a reward, or if the rewards are equal.
    """
    known = [reward for reward in rewards if reward is not None]
    if is_equal(rewards):
        return [0.0] * len(rewards)
    mean = math.fsum(known) / len(known)
    variance = math.fsum((reward - mean) ** 2 for reward in known) / (len(known) - 1)
    scale = math.sqrt(variance) + _LEAST_DEVIATION
    return [0.0 if reward is None else (reward - mean) / scale for reward in rewards]


def is_equal(rewards: Sequence[float | None]) -> bool:
    """Whether nothing can be learned from a group, because no two of its rewards differ."""
    return len({reward for reward in rewards if reward is not None}) < 2


@dataclass(slots=True)
class Tally:
    """Counts over a set of examples: one step, or one pass over the validation rows.

    Means are taken over tokens or pairs and not over batches, so they do not depend on how rows
    were batched. `units` counts what the loss is averaged over: supervised tokens, or pairs.
    `correct` of `judged` tokens were the model's first choice. `tokens` counts all tokens except
    padding. The reward figures apply only to pairs and to labeled answers, and those from `answers`
    on to sampled answers, in groups of those to one prompt; `compared` of their tokens were scored
    by a reference, too. Amounts that a part computes stay `on_device` until `read`, because each
    read waits until a GPU has done all its work.
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
    answers: int = 0
    answer_tokens: int = 0
    graded: int = 0
    reward_sum: float = 0.0
    groups: int = 0
    equal_groups: int = 0
    compared: int = 0
    divergence_sum: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    on_device: dict[str, Tensor] = field(default_factory=dict)

    def add(self, **amounts: int | Tensor) -> None:
        """Add to the fields of these names: known numbers, or scalars on the device."""
        for name, amount in amounts.items():
            if isinstance(amount, int):
                setattr(self, name, getattr(self, name) + amount)
            else:
                exact = amount.detach().double()
                # A new dict: float16 may return to a copy of this tally.
                self.on_device = self.on_device | {name: self.on_device.get(name, 0) + exact}

    def read(self, *others: Tensor) -> list[float]:
        """Move the amounts on the device to the fields. Also reads and returns `others`."""
        import torch

        scalars = [*self.on_device.values(), *(other.double() for other in others)]
        values: list[float] = torch.stack(scalars).tolist() if scalars else []
        for name, value in zip(self.on_device, values, strict=False):
            before = getattr(self, name)
            setattr(self, name, before + type(before)(value))
        known = len(self.on_device)
        self.on_device = {}
        return values[known:]

    def add_groups(
        self, rewards: Sequence[Sequence[float | None]], *, answer_tokens: int, prompt_tokens: int
    ) -> None:
        """Add the sampled answers to some prompts, each with its reward, if it has one."""
        known = [reward for group in rewards for reward in group if reward is not None]
        self.answers += sum(len(group) for group in rewards)
        self.answer_tokens += answer_tokens
        self.tokens += answer_tokens + prompt_tokens
        self.graded += len(known)
        self.reward_sum += sum(known)
        self.groups += len(rewards)
        self.equal_groups += sum(is_equal(group) for group in rewards)

    def merge(self, totals: Callable[[Sequence[float]], list[float]]) -> None:
        """Merge the tallies of all ranks into this one; `totals` sums each value over them."""
        self.read()
        names = [one.name for one in fields(self) if one.name not in _OF_THIS_RANK]
        own = [getattr(self, name) for name in names]
        for name, mine, total in zip(names, own, totals(own), strict=True):
            setattr(self, name, type(mine)(total))

    def metrics(self, prefix: str) -> dict[str, float]:
        """Return the means, named as in `StepMetrics`."""
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
        return found | self._of_groups(prefix)

    def _of_groups(self, prefix: str) -> dict[str, float]:
        if not self.answers:
            return {}
        found = {
            f"{prefix}reward_mean": self.reward_sum / max(self.graded, 1),
            f"{prefix}mean_completion_tokens": self.answer_tokens / self.answers,
            f"{prefix}answers_without_reward": self.answers - self.graded,
            f"{prefix}equal_group_share": self.equal_groups / self.groups,
        }
        if self.compared:
            found[f"{prefix}kl"] = self.divergence_sum / self.compared
        return found

    def close(self) -> None:
        """Stop this tally's clock."""
        self.seconds = time.perf_counter() - self.began

    @property
    def tokens_per_second(self) -> float:
        """Throughput of a closed tally."""
        return self.tokens / max(self.seconds, 1e-9)
