"""Which names can be asked for: base models of the catalogue, adapters, aliases of a project.

The gateway asks with a project (`resolve`); vLLM's resolver, which stands behind the
gateway, asks by name alone. Only `resolve` remembers answers.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from service.core import invalidation
from service.core.cache import LookupCache
from service.core.records import PREFIX, Collection, Page, parse
from service.core.redis import Client, reply, text
from service.models import ranks
from service.models.aliases import records as aliases
from service.models.catalogue import Catalogue
from service.models.records import NAME, Kind, ModelRecord, is_checkpoint

log = logging.getLogger(__name__)
_OWNERS = f"{PREFIX}:model-owners"  # name → project id; the names of deleted models stay
_MAX_NAME_CHARS = 512  # of what a request may ask for; no name of ours has more than 290


@dataclass(frozen=True, slots=True)
class ServableModel:
    """A name that can be chatted with, and where its weights are."""

    name: str
    base_model: str
    kind: Kind
    artifact: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The model that one request goes to, and the alias by which it was asked for."""

    model: ServableModel
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class _Split:
    """Models behind one alias, each with the sum of the weights up to and with it."""

    shares: tuple[tuple[Resolved, int], ...]

    def choose(self) -> Resolved:
        point = random.random() * self.shares[-1][1]  # noqa: S311 - shares traffic, no secret
        return next(resolved for resolved, upto in self.shares if point < upto)


class ModelInUse(Exception):
    """Aliases of the project point at the model."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class ModelRegistry:
    """Base models, adapters and aliases, by project."""

    def __init__(self, redis: Client, catalogue: Catalogue, *, cache_s: float) -> None:
        self.redis = redis
        self.catalogue = catalogue
        self.models = Collection(redis, "models", ModelRecord)
        self.aliases = aliases.collection(redis)
        self._resolutions = LookupCache(self._load, ttl_s=cache_s)

    def remembered(self, project_id: str, name: str) -> Resolved | None:
        """What `resolve` gives, where that is known at once; it is cheaper to ask."""
        found = self._resolutions.remembered((project_id, name))
        return found.choose() if isinstance(found, _Split) else found

    async def resolve(self, project_id: str, name: str) -> Resolved | None:
        """Where a request for this name goes: base model, own adapter, then alias.

        A split chooses anew with each call. No round trip for a name seen in the last
        seconds. Raises REDIS_ERRORS where Redis is away and the name was not known.
        """
        found = await self._resolutions.get((project_id, name))
        return found.choose() if isinstance(found, _Split) else found

    async def find(self, project_id: str, name: str) -> ServableModel | None:
        """The model itself of this name that the project may use; never through an alias."""
        entry = self.catalogue.get(name)
        if entry is not None:
            return ServableModel(name=entry.id, base_model=entry.id, kind=Kind.BASE)
        record = await self.get(project_id, name)
        return None if record is None else _servable(record)

    async def resolve_adapter(self, name: str) -> ServableModel | None:
        """The adapter of this name, whoever owns it: for the resolver inside vLLM."""
        owner = await self.owner(name)
        record = None if owner is None else await self.models.get(owner, name)
        return None if record is None else _servable(record)

    async def owner(self, name: str) -> str | None:
        """The project that a trained model of this name is or was of."""
        if not NAME.fullmatch(name):
            return None
        owner = await reply(self.redis.hget(_OWNERS, name))
        return None if owner is None else text(owner)

    def add(self, pipe: Pipeline, record: ModelRecord) -> None:
        """Add to a transaction what makes an adapter known."""
        pipe.hset(_OWNERS, record.id, record.project_id)
        self.models.add(pipe, record)
        invalidation.publish(pipe, invalidation.Kind.MODEL, record.project_id, record.id)

    async def register(self, record: ModelRecord, rank: int | None = None) -> None:
        """Make an adapter known. Registering the same record again is no error."""
        owner = await self.owner(record.id)
        if owner is not None and owner != record.project_id:
            raise ValueError(f"the model name {record.id} is taken")
        async with self.redis.pipeline(transaction=True) as pipe:
            self.add(pipe, record)
            if rank is not None:
                ranks.note(pipe, record.base_model, rank)
            await pipe.execute()
        self.forget(record.project_id, record.id)

    async def get(self, project_id: str, name: str) -> ModelRecord | None:
        """The project's adapter of this name."""
        return await self.models.get(project_id, name) if NAME.fullmatch(name) else None

    async def trained(self, project_id: str, after: str | None, limit: int) -> Page[ModelRecord]:
        """A page of the project's trained models, newest first, without their checkpoints.

        Raises Missing where `after` is not known.
        """
        return await self.models.page(
            project_id, after=after, limit=limit, where_id=lambda name: not is_checkpoint(name)
        )

    async def alias(self, project_id: str, name: str) -> aliases.AliasRecord | None:
        """The project's alias of this name."""
        return await self.aliases.get(project_id, name) if aliases.is_name(name) else None

    async def delete(self, project_id: str, name: str) -> ModelRecord | None:
        """Forget an adapter at once; its name is never used again. None if unknown.

        Raises ModelInUse where aliases point at it: whoever points one at it in the same
        moment watches the record that goes here, and this watches who points at it.
        """
        if not NAME.fullmatch(name):
            return None
        record: ModelRecord | None = None
        key, users = self.models.key(project_id, name), users_key(project_id, name)
        async with self.redis.pipeline(transaction=True) as pipe:
            while True:
                await pipe.watch(key, users)
                raw = await pipe.get(key)
                if raw is None:
                    break  # unknown, or gone by our own transaction, whose answer was lost
                record = parse(ModelRecord, raw, name)
                if names := await reply(pipe.smembers(users)):
                    raise ModelInUse(sorted(text(n) for n in names))
                pipe.multi()  # type: ignore[no-untyped-call]
                pipe.delete(key)
                pipe.zrem(self.models.index(project_id), name)
                invalidation.publish(pipe, invalidation.Kind.MODEL, project_id, name)
                try:
                    await pipe.execute()
                except WatchError:
                    continue
                break
        self.forget(project_id, name)
        return record

    async def is_or_was_model(self, redis: Redis, name: str) -> bool:
        """Whether any project's trained model has or had this name."""
        return NAME.fullmatch(name) is not None and await reply(redis.hexists(_OWNERS, name))

    async def watch_target(self, pipe: Pipeline, project_id: str, name: str) -> bool:
        """Whether an alias of the project may point at this; the transaction then fails if
        the adapter is deleted before it ends."""
        if self.catalogue.get(name) is not None:
            return True
        if not NAME.fullmatch(name):
            return False
        key = self.models.key(project_id, name)
        await pipe.watch(key)
        return bool(await pipe.exists(key))

    def forget(self, project_id: str, name: str) -> None:
        """Ask anew about this name, in this process."""
        self._resolutions.forget((project_id, name))

    def listen(self, invalidations: invalidation.Invalidations) -> None:
        """Follow the changes of other processes."""
        invalidations.on(invalidation.Kind.MODEL, self.forget)
        invalidations.on_gap(self._resolutions.expire_all)

    async def _load(self, key: tuple[str, str]) -> Resolved | _Split | None:
        project_id, name = key
        if len(name) > _MAX_NAME_CHARS:
            return None
        model = await self.find(project_id, name)
        if model is not None:
            return Resolved(model)
        alias = await self.alias(project_id, name)
        return None if alias is None else await self._behind(alias)

    async def _behind(self, alias: aliases.AliasRecord) -> Resolved | _Split | None:
        """An alias's models. One that is gone (a base model can be) leaves its share to the
        other."""
        shares: list[tuple[Resolved, int]] = []
        upto = 0
        for target in alias.targets:
            model = await self.find(alias.project_id, target.model)
            if model is None:
                log.warning("alias %s: its model %s is gone", alias.id, target.model)
                continue
            upto += target.weight
            shares.append((Resolved(model, alias.id), upto))
        if len(shares) <= 1:
            return shares[0][0] if shares else None
        return _Split(tuple(shares))


def users_key(project_id: str, model: str) -> str:
    """The Redis set of the project's aliases that point at one of its adapters."""
    return f"{PREFIX}:{project_id}:model-aliases:{model}"


def _servable(record: ModelRecord) -> ServableModel:
    return ServableModel(
        name=record.id,
        base_model=record.base_model,
        kind=Kind.ADAPTER,
        artifact=record.artifact,
        digest=record.digest,
    )
