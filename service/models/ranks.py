"""The highest LoRA rank among a base model's adapters, which its engine must support."""

from __future__ import annotations

import json
from pathlib import Path

from redis.asyncio.client import Pipeline

from service.core.records import PREFIX
from service.core.redis import Client
from service.training.contract.adapter_config import CONFIG
from service.training.contract.hyperparameters import highest_rank

_HIGHEST = f"{PREFIX}:highest-lora-rank"  # sorted set: base model by rank


def rank_of(adapter: Path) -> int:
    """The highest rank in the folder of an adapter that was already checked."""
    return highest_rank(json.loads((adapter / CONFIG).read_text("utf-8")))


def note(pipe: Pipeline, base_model: str, rank: int) -> None:
    """Record an adapter's rank in a transaction. The rank is kept when the adapter is deleted."""
    pipe.zadd(_HIGHEST, {base_model: rank}, gt=True)


async def highest(redis: Client, base_model: str) -> int:
    """The highest rank ever recorded for the base model; 0 if there is none."""
    score = await redis.zscore(_HIGHEST, base_model)
    return int(score or 0)
