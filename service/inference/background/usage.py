"""Tokens of requests to one model."""

from __future__ import annotations

from service.core.records import Stored


class ModelUsage(Stored):
    """Tokens of the requests of one piece of work to one model."""

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
