"""Figures that evaluations measured for trained models, which the gates of aliases check.

finetuned:{project}:model-figures   hash: model name → figures by the key of a gate, as JSON
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.core.records import PREFIX
from service.core.redis import reply, text

Figures = dict[str, float | str]


def write(pipe: Pipeline, project_id: str, model: str, figures: Mapping[str, float | str]) -> None:
    """Add the figures of a model's evaluation to a transaction. They replace earlier ones."""
    pipe.hset(_key(project_id), model, msgspec.json.encode(figures).decode())


def forget(pipe: Pipeline, project_id: str, model: str) -> None:
    """Add the deletion of a model's figures to the transaction that deletes the model."""
    pipe.hdel(_key(project_id), model)


async def read(redis: Redis, project_id: str, model: str) -> Figures | None:
    """Return the figures of a model, or None if no evaluation of it was completed."""
    return _parsed(await reply(redis.hget(_key(project_id), model)))


async def read_many(
    redis: Redis, models: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Figures | None]:
    """Return the figures of several models, given as project ID and name, in one round trip."""
    async with redis.pipeline(transaction=False) as pipe:
        for project_id, model in models:
            pipe.hget(_key(project_id), model)
        found = await pipe.execute()
    return {model: _parsed(raw) for model, raw in zip(models, found, strict=True)}


async def read_all(redis: Redis, project_id: str) -> dict[str, Figures]:
    """Return the figures of all models of a project that were evaluated, by model."""
    found = await reply(redis.hgetall(_key(project_id)))
    return {text(model): msgspec.json.decode(raw, type=Figures) for model, raw in found.items()}


def _parsed(raw: bytes | str | None) -> Figures | None:
    return None if raw is None else msgspec.json.decode(raw, type=Figures)


def _key(project_id: str) -> str:
    return f"{PREFIX}:{project_id}:model-figures"
