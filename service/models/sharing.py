"""Permissions of other projects to send requests to a trained model.

    finetuned:{owner}:model-permissions:{id}   a permission
    finetuned:{project}:shared-models          hash from the name of a model to "owner permission"

The hash belongs to the project that may use the model, so that a request needs one lookup. A
change by another process takes effect within the lifetime of the caches.
"""

from __future__ import annotations

from functools import partial

from redis.asyncio.client import Pipeline

from service.core import clock, ids, invalidation
from service.core.records import PREFIX, Collection, Missing, Record, parse
from service.core.redis import Client, reply, text
from service.core.redis.transactions import Write, commit


class ModelPermission(Record):
    """A permission to use a model of `project_id`."""

    model: str
    grantee: str
    """ID of the project that may use it."""


class Sharing:
    """Store of the permissions of all projects."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self.records = Collection(redis, "model-permissions", ModelPermission)

    async def owner_of_shared(
        self, project_id: str, model: str, pipe: Pipeline | None = None
    ) -> str | None:
        """Return the ID of the project that shares a model with this one, or None.

        A transaction that reads it gives its `pipe`: another connection might not be free.
        """
        found = await reply((pipe or self._redis).hget(_shared(project_id), model))
        return None if found is None else text(found).split(" ")[0]

    async def shared_with(self, project_id: str) -> dict[str, str]:
        """Return the names of the models that others share with a project, with their owners."""
        found = await reply(self._redis.hgetall(_shared(project_id)))
        return {text(name): text(value).split(" ")[0] for name, value in found.items()}

    async def grant(self, owner: str, model: str, grantee: str, model_key: str) -> ModelPermission:
        """Permit a project to use a model. A permission that exists is returned.

        `model_key` is the Redis key of the model's record. Raises Missing if there is none.
        """

        async def decide(pipe: Pipeline) -> tuple[ModelPermission, Write | None]:
            if not await pipe.exists(model_key):
                raise Missing(model)
            found = await reply(pipe.hget(_shared(grantee), model))
            if found is not None:
                known = text(found).split(" ")[1]
                raw = await reply(pipe.get(self.records.key(owner, known)))
                if raw is not None:
                    return parse(ModelPermission, raw, known), None
            permission = ModelPermission(
                id=ids.new(ids.MODEL_PERMISSION),
                project_id=owner,
                created_at=clock.now_s(),
                model=model,
                grantee=grantee,
            )
            return permission, partial(write, permission)

        def write(permission: ModelPermission, pipe: Pipeline) -> None:
            self.records.add(pipe, permission)
            pipe.hset(_shared(grantee), model, f"{owner} {permission.id}")
            _publish(pipe, permission)

        return await commit(self._redis, [model_key, _shared(grantee)], decide)

    async def revoke(self, permission: ModelPermission) -> bool:
        """Revoke a permission. Returns False if it was gone."""

        def also(pipe: Pipeline) -> None:
            pipe.hdel(_shared(permission.grantee), permission.model)
            _publish(pipe, permission)

        return await self.records.delete(permission.project_id, permission.id, also=also)

    async def revoke_all(self, project_id: str) -> None:
        """Revoke all permissions that a project has granted or received."""
        for permission in await self._of(project_id):
            await self.revoke(permission)
        granted = await reply(self._redis.hvals(_shared(project_id)))
        for owner, permission_id in (text(value).split(" ") for value in granted):
            if (found := await self.records.get(owner, permission_id)) is not None:
                await self.revoke(found)

    async def revoke_model(self, owner: str, model: str) -> None:
        """Revoke all permissions to use a model."""
        for permission in await self._of(owner):
            if permission.model == model:
                await self.revoke(permission)

    async def _of(self, owner: str) -> list[ModelPermission]:
        return await self.records.get_many(owner, await self.records.ids(owner))


def _shared(project_id: str) -> str:
    return f"{PREFIX}:{project_id}:shared-models"


def _publish(pipe: Pipeline, permission: ModelPermission) -> None:
    invalidation.publish(
        pipe, invalidation.InvalidationKind.MODEL, permission.grantee, permission.model
    )
