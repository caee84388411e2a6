"""Which names can be asked for: base models of the catalogue, adapters of a project.

The gateway asks with a project; vLLM's resolver, which stands behind the gateway, asks by
name alone. Both remember answers for seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline

from service.core.cache import LookupCache
from service.core.records import PREFIX, Collection
from service.core.redis import reply, text
from service.models.catalogue import Catalogue
from service.models.records import NAME, Kind, ModelRecord

_OWNERS = f"{PREFIX}:model-owners"  # name → project id; the names of deleted models stay


@dataclass(frozen=True)
class ServableModel:
    """A name that can be chatted with, and where its weights are."""

    name: str
    base_model: str
    kind: Kind
    artifact: str | None = None
    digest: str | None = None


class ModelRegistry:
    """Base models and adapters, by project."""

    def __init__(self, redis: ArqRedis, catalogue: Catalogue, *, cache_s: float) -> None:
        self.redis = redis
        self.catalogue = catalogue
        self.models = Collection(redis, "models", ModelRecord)
        self._cache = LookupCache(self._load, ttl_s=cache_s)

    async def find(self, project_id: str, name: str) -> ServableModel | None:
        """The model of this name that the project may use."""
        entry = self.catalogue.get(name)
        if entry is not None:
            return ServableModel(name=entry.id, base_model=entry.id, kind=Kind.BASE)
        if not NAME.fullmatch(name):
            return None
        return await self._cache.get((project_id, name))

    async def resolve_adapter(self, name: str) -> ServableModel | None:
        """The adapter of this name, whoever owns it: for the resolver inside vLLM."""
        if not NAME.fullmatch(name):
            return None
        owner = await reply(self.redis.hget(_OWNERS, name))
        return None if owner is None else await self._cache.get((text(owner), name))

    def add(self, pipe: Pipeline, record: ModelRecord) -> None:
        """Add to a transaction what makes an adapter known."""
        pipe.hset(_OWNERS, record.id, record.project_id)
        self.models.add(pipe, record)

    async def register(self, record: ModelRecord) -> None:
        """Make an adapter known. Registering the same record again is no error."""
        owner = await reply(self.redis.hget(_OWNERS, record.id))
        if owner is not None and text(owner) != record.project_id:
            raise ValueError(f"the model name {record.id} is taken")
        async with self.redis.pipeline(transaction=True) as pipe:
            self.add(pipe, record)
            await pipe.execute()

    async def get(self, project_id: str, name: str) -> ModelRecord | None:
        """The project's adapter of this name."""
        return await self.models.get(project_id, name) if NAME.fullmatch(name) else None

    async def delete(self, project_id: str, name: str) -> ModelRecord | None:
        """Forget an adapter at once; its name is never used again. None if unknown."""
        record = await self.get(project_id, name)
        if record is None:
            return None
        await self.models.delete(project_id, name)
        self._cache.forget((project_id, name))
        return record

    async def _load(self, key: tuple[str, str]) -> ServableModel | None:
        record = await self.models.get(*key)
        if record is None:
            return None
        return ServableModel(
            name=record.id,
            base_model=record.base_model,
            kind=Kind.ADAPTER,
            artifact=record.artifact,
            digest=record.digest,
        )
