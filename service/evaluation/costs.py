"""Tokens and time per answer of a column."""

from __future__ import annotations

from statistics import fmean

import msgspec

from service.evaluation.comparison import Comparison


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Mean tokens and seconds per answer. `latency_s` is null if no answer was timed."""

    column: str
    prompt_tokens: float
    completion_tokens: float
    latency_s: float | None
    n: int

    @property
    def tokens(self) -> float:
        """Mean tokens of prompt and answer together."""
        return self.prompt_tokens + self.completion_tokens


def cost(comparison: Comparison, column: str) -> Cost | None:
    """Return the mean cost of a column's answers. None if it has no answers."""
    answers = [row.answers[column] for row in comparison.rows if column in row.answers]
    answers = [answer for answer in answers if answer.error is None]
    if not answers:
        return None
    timed = [answer.latency_s for answer in answers if answer.latency_s is not None]
    return Cost(
        column=column,
        prompt_tokens=fmean(answer.prompt_tokens for answer in answers),
        completion_tokens=fmean(answer.completion_tokens for answer in answers),
        latency_s=fmean(timed) if timed else None,
        n=len(answers),
    )
