"""Counters of a run: its outcomes, by grader too, and the tokens of its requests by model."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelUsage(_Value):
    """Tokens of a run's requests to one model, to sample or to judge."""

    invocation_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    def plus(self, other: ModelUsage) -> ModelUsage:
        """The sum of both."""
        return ModelUsage(
            invocation_count=self.invocation_count + other.invocation_count,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )


class CriterionCounts(_Value):
    """Outcomes of one grader. `score` is the sum of the scores that passed or failed."""

    passed: int = 0
    failed: int = 0
    errored: int = 0
    score: float = 0.0

    @property
    def mean_score(self) -> float | None:
        """Mean of the scores, or None if there are none."""
        graded = self.passed + self.failed
        return self.score / graded if graded else None

    def plus(self, other: CriterionCounts) -> CriterionCounts:
        """The sum of both."""
        return CriterionCounts(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            errored=self.errored + other.errored,
            score=self.score + other.score,
        )


class Tally(_Value):
    """Counters of outcomes: of a run, or of the items that are added to it."""

    passed: int = 0
    failed: int = 0
    errored: int = 0
    usage: Mapping[str, ModelUsage] = {}
    criteria: Mapping[str, CriterionCounts] = {}

    @property
    def done(self) -> int:
        """Number of items with an outcome."""
        return self.passed + self.failed + self.errored

    def plus(self, other: Tally) -> Tally:
        """The sum of both."""
        usage = {**self.usage}
        for model, more in other.usage.items():
            usage[model] = usage.get(model, ModelUsage()).plus(more)
        criteria = {**self.criteria}
        for name, counts in other.criteria.items():
            criteria[name] = criteria.get(name, CriterionCounts()).plus(counts)
        return Tally(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            errored=self.errored + other.errored,
            usage=usage,
            criteria=criteria,
        )
