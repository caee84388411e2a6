"""Resolves model names to base models, and to adapters and aliases of a project.

The gateway resolves names within a project (`resolve`), which also draws the target of an alias
that splits its traffic. vLLM's resolver, which runs behind the gateway, resolves by name only. Only
`resolve` caches its results.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.core import clock, invalidation
from service.core.cache import LookupCache
from service.core.encryption.signing import SigningKey
from service.core.records import PREFIX, Also, Collection, Missing, Page, parse
from service.core.redis import Client, reply, text
from service.core.redis.transactions import Write, commit
from service.core.storage.leftovers import Leftovers
from service.models.adapters import DRAFT_NAME, Draft, find_draft, note_rank, sign_adapter
from service.models.aliases import records as aliases
from service.models.catalogue import Catalogue
from service.models.records import NAME, ModelKind, ModelRecord, forget_figures, is_checkpoint
from service.models.sharing import Sharing

log = logging.getLogger(__name__)
_OWNERS = f"{PREFIX}:model-owners"  # name → project ID; names of deleted models are kept
_MAX_NAME_CHARS = 512  # limit for requested names; valid names have at most 290


@dataclass(frozen=True, slots=True)
class ServableModel:
    """A model that can serve requests, and the location of its weights."""

    name: str
    base_model: str
    kind: ModelKind
    artifact: str | None = None
    digest: str | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The model that a request is routed to, and the alias it used, if any."""

    model: ServableModel
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class _Split:
    """The models behind an alias, each with its cumulative weight."""

    shares: tuple[tuple[ResolvedModel, int], ...]

    def choose(self) -> ResolvedModel:
        point = random.random() * self.shares[-1][1]  # noqa: S311 - traffic split, not a secret
        return next(resolved for resolved, upto in self.shares if point < upto)


class ModelInUse(Exception):
    """One or more aliases of the project point at the model."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class ModelRegistry:
    """Base models, adapters and aliases, by project. `signer` signs what is registered."""

    def __init__(
        self,
        redis: Client,
        catalogue: Catalogue,
        *,
        cache_s: float,
        signer: SigningKey | None = None,
    ) -> None:
        self._signer = signer
        self.redis = redis
        self.catalogue = catalogue
        self.models = Collection(redis, "models", ModelRecord)
        self.aliases = aliases.collection(redis)
        self.leftovers = adapter_leftovers(redis)
        self.sharing = Sharing(redis)
        self._resolutions = LookupCache(self._load, ttl_s=cache_s)

    def remembered(self, project_id: str, name: str) -> ResolvedModel | None:
        """The cached result of `resolve`, or None. Cheaper than `resolve` itself."""
        found = self._resolutions.remembered((project_id, name))
        return found.choose() if isinstance(found, _Split) else found

    async def resolve(self, project_id: str, name: str) -> ResolvedModel | None:
        """Resolve a name to a base model, the project's adapter, or an alias, in this order.

        A split chooses a target on each call. Names seen in the last seconds need no round trip.
        Raises REDIS_ERRORS if Redis is unavailable and the name is not cached.
        """
        found = await self._resolutions.get((project_id, name))
        return found.choose() if isinstance(found, _Split) else found

    async def find(self, project_id: str, name: str) -> ServableModel | None:
        """The model with this name that the project may use. Aliases are not followed."""
        entry = self.catalogue.get(name)
        if entry is not None:
            return ServableModel(name=entry.id, base_model=entry.id, kind=ModelKind.BASE)
        record = await self.get(project_id, name)
        return None if record is None else _servable(record)

    async def resolve_adapter(self, name: str) -> ServableModel | None:
        """The adapter with this name in any project, or a draft, for the resolver inside vLLM."""
        if DRAFT_NAME.fullmatch(name):
            draft = await find_draft(self.redis, name)
            return None if draft is None else _of_draft(name, draft)
        owner = await self.owner(name)
        record = None if owner is None else await self.models.get(owner, name)
        return None if record is None else _servable(record)

    async def owner(self, name: str) -> str | None:
        """The ID of the project that owns or owned a trained model with this name."""
        if not NAME.fullmatch(name):
            return None
        owner = await reply(self.redis.hget(_OWNERS, name))
        return None if owner is None else text(owner)

    def add(self, pipe: Pipeline, record: ModelRecord) -> None:
        """Add the commands that register an adapter to a transaction."""
        record = self.signed(record)
        pipe.hset(_OWNERS, record.id, record.project_id)
        self.models.add(pipe, record)
        invalidation.publish(
            pipe, invalidation.InvalidationKind.MODEL, record.project_id, record.id
        )

    def signed(self, record: ModelRecord) -> ModelRecord:
        """Return the record of an adapter with its signature, if this process signs."""
        if self._signer is None:
            return record
        signature = sign_adapter(self._signer, record.id, record.base_model, record.digest)
        return record.model_copy(update={"signature": signature})

    async def sign_all(self) -> AsyncIterator[str]:
        """Sign the adapters that have no signature, and yield their names."""
        owners = await reply(self.redis.hgetall(_OWNERS))
        for name, owner in sorted((text(n), text(o)) for n, o in owners.items()):
            record = await self.get(owner, name)
            if record is not None and record.signature is None:
                with contextlib.suppress(Missing):  # it was just deleted
                    await self.models.update(owner, name, self.signed)
                    yield name

    async def register(self, record: ModelRecord, rank: int | None = None) -> None:
        """Register an adapter. Registering the same record again is not an error.

        Raises ValueError if another project owns the name.
        """
        owner = await self.owner(record.id)
        if owner is not None and owner != record.project_id:
            raise ValueError(f"the model name {record.id} is taken")
        async with self.redis.pipeline(transaction=True) as pipe:
            self.add(pipe, record)
            if rank is not None:
                note_rank(pipe, record.base_model, rank)
            await pipe.execute()
        self.forget(record.project_id, record.id)

    async def get(self, project_id: str, name: str) -> ModelRecord | None:
        """The project's adapter with this name, or None."""
        return await self.models.get(project_id, name) if NAME.fullmatch(name) else None

    async def shared(self, project_id: str, name: str) -> ModelRecord | None:
        """The adapter with this name that another project shares with this one, or None."""
        if not NAME.fullmatch(name):
            return None
        owner = await self.sharing.owner_of_shared(project_id, name)
        return None if owner is None else await self.models.get(owner, name)

    async def all_shared(self, project_id: str) -> list[ModelRecord]:
        """The adapters that other projects share with this one, newest first."""
        owners = await self.sharing.shared_with(project_id)
        names: dict[str, list[str]] = {}
        for name, owner in owners.items():
            names.setdefault(owner, []).append(name)
        found = [
            record
            for owner, shared in names.items()
            for record in await self.models.get_many(owner, shared)
        ]
        return sorted(found, key=lambda record: (-record.created_at, record.id))

    async def trained(self, project_id: str, after: str | None, limit: int) -> Page[ModelRecord]:
        """A page of the project's trained models, newest first, without checkpoints.

        Raises Missing if `after` is unknown.
        """
        return await self.models.page(
            project_id, after=after, limit=limit, where_id=lambda name: not is_checkpoint(name)
        )

    async def listed_aliases(
        self, project_id: str, after: str | None, limit: int
    ) -> Page[aliases.AliasRecord]:
        """A page of the aliases that requests can use. Base models take precedence.

        Trained models do too, but their names are reserved. Raises Missing.
        """
        bases = {entry.id for entry in self.catalogue.all()}
        return await self.aliases.page(
            project_id, after=after, limit=limit, where_id=lambda name: name not in bases
        )

    async def alias(self, project_id: str, name: str) -> aliases.AliasRecord | None:
        """The project's alias with this name, or None."""
        return await self.aliases.get(project_id, name) if aliases.is_name(name) else None

    async def named_models(self, project_id: str, names: list[str]) -> list[ModelRecord]:
        """The project's adapters that have one of these names, newest first."""
        valid = [name for name in names if NAME.fullmatch(name)]
        found = await self.models.get_many(project_id, valid)
        return sorted(found, key=lambda record: record.created_at, reverse=True)

    async def named_aliases(self, project_id: str, names: list[str]) -> list[aliases.AliasRecord]:
        """The project's aliases that have one of these names."""
        return await self.aliases.get_many(project_id, filter(aliases.is_name, names))

    async def delete(
        self, project_id: str, name: str, also: Also = lambda _: None
    ) -> ModelRecord | None:
        """Delete an adapter's record immediately and return it; None if unknown.

        The name is never reused. Raises ModelInUse if aliases point at the adapter. This
        transaction watches the set of aliases, and setting an alias watches the adapter's record,
        so the two cannot race.
        """
        if not NAME.fullmatch(name):
            return None
        key, users = self.models.key(project_id, name), users_key(project_id, name)

        found: ModelRecord | None = None

        async def decide(pipe: Pipeline) -> tuple[ModelRecord | None, Write | None]:
            nonlocal found
            raw = await pipe.get(key)
            if raw is None:
                return found, None  # unknown, or deleted by another process since it was found
            found = parse(ModelRecord, raw, name)
            if names := await reply(pipe.smembers(users)):
                raise ModelInUse(sorted(text(n) for n in names))
            return found, write

        def write(pipe: Pipeline) -> None:
            assert found is not None
            self.models.remove(pipe, project_id, name)
            self.leftovers.note(pipe, found.artifact, clock.now_s())
            forget_figures(pipe, project_id, name)
            invalidation.publish(pipe, invalidation.InvalidationKind.MODEL, project_id, name)
            also(pipe)

        record = await commit(self.redis, [key, users], decide)
        self.forget(project_id, name)
        await self.sharing.revoke_model(project_id, name)
        return record

    async def is_or_was_model(self, redis: Redis, name: str) -> bool:
        """Whether any project's trained model has or had this name."""
        return NAME.fullmatch(name) is not None and await reply(redis.hexists(_OWNERS, name))

    async def watch_target(self, pipe: Pipeline, project_id: str, name: str) -> bool:
        """Whether an alias of the project may point at this model.

        If so, the transaction fails if the adapter is deleted before it ends.
        """
        if self.catalogue.get(name) is not None:
            return True
        if not NAME.fullmatch(name):
            return False
        key = self.models.key(project_id, name)
        await pipe.watch(key)
        if await pipe.exists(key):
            return True
        owner = await self.sharing.owner_of_shared(project_id, name, pipe)
        if owner is None:
            return False
        await pipe.watch(shared := self.models.key(owner, name))
        return bool(await pipe.exists(shared))

    def forget(self, project_id: str, name: str) -> None:
        """Drop this name from the cache of this process."""
        self._resolutions.forget((project_id, name))

    def listen(self, invalidations: invalidation.Invalidations) -> None:
        """Subscribe to changes made by other processes."""
        invalidations.on(invalidation.InvalidationKind.MODEL, self.forget)
        invalidations.on_gap(self._resolutions.expire_all)

    async def _load(self, key: tuple[str, str]) -> ResolvedModel | _Split | None:
        project_id, name = key
        if len(name) > _MAX_NAME_CHARS:
            return None
        model = await self._usable(project_id, name)
        if model is not None:
            return ResolvedModel(model)
        alias = await self.alias(project_id, name)
        return None if alias is None else await self._behind(alias)

    async def _usable(self, project_id: str, name: str) -> ServableModel | None:
        """The model with this name that the project's requests may use."""
        if (own := await self.find(project_id, name)) is not None:
            return own
        record = await self.shared(project_id, name)
        return None if record is None else _servable(record)

    async def _behind(self, alias: aliases.AliasRecord) -> ResolvedModel | _Split | None:
        """Resolve an alias's targets. The share of a removed model goes to the other target."""
        shares: list[tuple[ResolvedModel, int]] = []
        upto = 0
        for target in alias.targets:
            model = await self._usable(alias.project_id, target.model)
            if model is None:
                log.warning("alias %s: its model %s no longer exists", alias.id, target.model)
                continue
            upto += target.weight
            shares.append((ResolvedModel(model, alias.id), upto))
        if len(shares) <= 1:
            return shares[0][0] if shares else None
        return _Split(tuple(shares))


def adapter_leftovers(redis: Client) -> Leftovers:
    """The storage prefixes of deleted adapters whose bytes are not gone yet."""
    return Leftovers(redis, "adapters")


def users_key(project_id: str, model: str) -> str:
    """The Redis set of the project's aliases that point at one of its adapters."""
    return f"{PREFIX}:{project_id}:model-aliases:{model}"


def _of_draft(name: str, draft: Draft) -> ServableModel:
    return ServableModel(
        name=name,
        base_model=draft.base_model,
        kind=ModelKind.ADAPTER,
        artifact=draft.artifact,
        digest=draft.digest,
        signature=draft.signature,
    )


def _servable(record: ModelRecord) -> ServableModel:
    return ServableModel(
        name=record.id,
        base_model=record.base_model,
        kind=ModelKind.ADAPTER,
        artifact=record.artifact,
        digest=record.digest,
        signature=record.signature,
    )
