"""Gains of the models behind aliases, for Prometheus.

finetuned:aliases-changed   sorted set of "project/alias", by time of the last change

With this set, the aliases that changed last are found without a look at every project.
"""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio.client import Pipeline

from service.core.records import PREFIX, parse_known
from service.core.redis import Client, reply, text
from service.models import figures
from service.models.aliases.records import AliasRecord, Target, collection
from service.models.records import NAME, project_of
from service.verdict.gate import GAIN

_CHANGED = f"{PREFIX}:aliases-changed"


def note(pipe: Pipeline, alias: AliasRecord) -> None:
    """Add the entry of a changed alias to the transaction that changes it."""
    pipe.zadd(_CHANGED, {_member(alias.project_id, alias.id): alias.updated_at})


def forget(pipe: Pipeline, project_id: str, name: str) -> None:
    """Add the removal of an alias's entry to the transaction that deletes the alias."""
    pipe.zrem(_CHANGED, _member(project_id, name))


async def read(redis: Client, limit: int) -> dict[tuple[str, str], float]:
    """Return the gains in points by project name and alias, of up to `limit` aliases.

    These are the aliases that changed last. The gain of a split is the mean by share of requests,
    in which a base model counts as 0. An alias is left out if it has no trained model, or one that
    was not evaluated.
    """
    if limit == 0:
        return {}
    members = [text(m) for m in await reply(redis.zrevrange(_CHANGED, 0, limit - 1))]
    if not members:
        return {}
    aliases = collection(redis)
    keys = [aliases.key(*member.split("/", 1)) for member in members]
    records = parse_known(AliasRecord, zip(members, await redis.mget(keys), strict=True))
    models = [(a.project_id, target.model) for a in records for target in _trained(a)]
    measured = await figures.read_many(redis, models)
    gains = [(alias, _gain(alias, measured)) for alias in records]
    return {_labels(alias): gain for alias, gain in gains if gain is not None}


def _trained(alias: AliasRecord) -> list[Target]:
    return [target for target in alias.targets if NAME.fullmatch(target.model)]


def _gain(
    alias: AliasRecord, measured: Mapping[tuple[str, str], figures.Figures | None]
) -> float | None:
    total = 0.0
    for target in _trained(alias):
        gain = (measured[alias.project_id, target.model] or {}).get(GAIN)
        if not isinstance(gain, int | float):
            return None
        total += gain * target.weight
    return total / sum(t.weight for t in alias.targets) if _trained(alias) else None


def _labels(alias: AliasRecord) -> tuple[str, str]:
    """Return the names of the project, which is part of its models' names, and of the alias."""
    return str(project_of(_trained(alias)[0].model)), alias.id


def _member(project_id: str, name: str) -> str:
    return f"{project_id}/{name}"
