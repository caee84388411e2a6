"""Smaller plans for a job whose trainer ran out of memory. Pure functions."""

from __future__ import annotations

from service.jobs.memory import MemorySettings
from service.training.contract.spec import Sharding

MOST_RETRIES = 4
"""Retries of a job that runs out of memory; each starts again from the newest checkpoint.

The first one takes parts of 16,384 tokens to the default of a GPU (4,096), and the others to 512.
"""


def smaller_plan(
    *,
    retries: int,
    gradient_checkpointing: bool,
    suggested_tokens: int | None,
    can_move_inputs: bool = False,
    can_shard: bool = False,
) -> MemorySettings | None:
    """Return a plan that needs less memory, or None if there is none or enough were tried.

    Settings that are None or false in it remain unchanged. `retries` and `gradient_checkpointing`
    are those of the attempt that failed, and `suggested_tokens` is what its trainer suggested. The
    first retry only reduces the part of a batch that is in the model at once, which is nearly as
    fast. Later ones also use gradient checkpointing, which is slower but saves most of the rest. If
    a single row is still too long, the inputs of its layers can move to the host, if that is
    another memory (`can_move_inputs`). If `can_shard`, the base model can still be sharded, which
    is slowest: in the last retry, or when nothing else is left.
    """
    if retries >= MOST_RETRIES:
        return None
    sharding: Sharding | None = "fsdp" if can_shard and retries == MOST_RETRIES - 1 else None
    if suggested_tokens is not None:
        checkpointing = gradient_checkpointing or retries > 0
        return MemorySettings(suggested_tokens, checkpointing, sharding=sharding)
    if not gradient_checkpointing:
        return MemorySettings(None, True, sharding=sharding)
    if can_move_inputs:
        return MemorySettings(None, True, inputs_on_host=True, sharding=sharding)
    return MemorySettings(None, True, sharding="fsdp") if can_shard else None


def in_words(plan: MemorySettings) -> str:
    """Return how the next attempt continues, for an event."""
    parts = []
    if plan.tokens_at_once is not None:
        parts.append(f"at most {plan.tokens_at_once:,} tokens in the model at a time")
    if plan.gradient_checkpointing:
        parts.append("gradient checkpointing")
    if plan.inputs_on_host:
        parts.append("the inputs of layers in the machine's memory")
    if plan.sharding == "fsdp":
        parts.append("the base model divided among several GPUs")
    return "with " + _joined(parts)


def _joined(parts: list[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last
