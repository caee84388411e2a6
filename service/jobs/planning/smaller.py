"""Smaller plans for a job whose trainer ran out of memory. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from service.training.contract.spec import Sharding

MOST_RETRIES = 4
"""Retries of a job that runs out of memory; each starts again from the newest checkpoint.

Four halvings take the default of a GPU (4,096 tokens at once) to 256.
"""


@dataclass(frozen=True)
class SmallerPlan:
    """Memory settings for the next attempt. They do not change its result.

    `tokens_at_once` and `sharding` are None if they remain unchanged.
    """

    tokens_at_once: int | None
    gradient_checkpointing: bool
    sharding: Sharding | None = None

    def words(self) -> str:
        """Return how the next attempt continues, for an event."""
        parts = []
        if self.tokens_at_once is not None:
            parts.append(f"at most {self.tokens_at_once:,} tokens in the model at a time")
        if self.gradient_checkpointing:
            parts.append("gradient checkpointing")
        if self.sharding == "fsdp":
            parts.append("the base model divided among several GPUs")
        return "with " + _joined(parts)


def smaller_plan(
    *,
    retries: int,
    gradient_checkpointing: bool,
    suggested_tokens: int | None,
    can_shard: bool = False,
) -> SmallerPlan | None:
    """Return a plan that needs less memory, or None if there is none or enough were tried.

    `retries` and `gradient_checkpointing` are those of the attempt that failed, and
    `suggested_tokens` is what its trainer suggested. The first retry only halves the part of a
    batch that is in the model at once, which is nearly as fast. Later ones also use gradient
    checkpointing, which is slower but saves most of the rest. If `can_shard`, the base model can
    still be sharded, which is slowest: in the last retry, or when nothing else is left.
    """
    if retries >= MOST_RETRIES:
        return None
    is_last = retries == MOST_RETRIES - 1
    if suggested_tokens is not None:
        sharding: Sharding | None = "fsdp" if can_shard and is_last else None
        return SmallerPlan(suggested_tokens, gradient_checkpointing or retries > 0, sharding)
    if not gradient_checkpointing:
        return SmallerPlan(None, True, "fsdp" if can_shard and is_last else None)
    return SmallerPlan(None, True, "fsdp") if can_shard else None


def _joined(parts: list[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last
