"""Sets, splits, rolls back and deletes aliases, each in one transaction.

A transaction watches the alias and its new target models, so concurrent changes never mix, and a
model cannot be deleted while an alias is being pointed at it. Each change has a random ID, which
becomes the alias's etag.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.core import clock, ids, invalidation
from service.core.records import Missing, parse, parse_known
from service.core.redis import reply
from service.core.redis.transactions import Decide, Write, commit, touch
from service.models.aliases.gates import (
    GateFailed,
    failed_conditions,
    failed_suites,
    forget_alias,
    note_change,
)
from service.models.aliases.records import (
    AliasRecord,
    Change,
    FailedCondition,
    Target,
    history_key,
    is_name,
)
from service.models.aliases.suites import (
    Lows,
    Schedule,
    Suite,
    are_looser,
    lows_key,
    schedule_next,
)
from service.models.approvals import require_approvals
from service.models.records import base_of
from service.models.registry import ModelRegistry, users_key

log = logging.getLogger(__name__)
MAX_HISTORY = 100  # changes kept per alias


class NameReserved(Exception):
    """The name belongs, belonged or may be assigned to a base model or a trained model."""


class UnknownTarget(Exception):
    """There is no model with this name that the project may use."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model


class ReasonMissing(Exception):
    """Suites are overridden, removed or loosened without a reason."""


class HasSuites(Exception):
    """The alias has suites, which its deletion would remove without a reason."""


class TooManyAliases(Exception):
    """The project has reached its limit of aliases."""


class AliasChanged(Exception):
    """The alias is not in the required state."""


class NoPreviousTargets(Exception):
    """The alias has no earlier targets to roll back to."""


@dataclass(frozen=True)
class Precondition:
    """State of the alias that a change requires. By default, any state is accepted."""

    etag: str | None = None
    exists: bool | None = None

    def check(self, current: AliasRecord | None) -> None:
        """Raise AliasChanged if the alias is in another state."""
        if self.exists is not None and self.exists is (current is None):
            raise AliasChanged
        if self.etag is not None and (current is None or current.etag != self.etag):
            raise AliasChanged


ANY_STATE = Precondition()


class Aliases:
    """Store of the aliases of all projects."""

    def __init__(self, redis: Redis, registry: ModelRegistry, *, max_per_project: int) -> None:
        self._redis = redis
        self._registry = registry
        self._max_per_project = max_per_project
        self.records = registry.aliases

    async def get(self, project_id: str, name: str) -> AliasRecord | None:
        """The project's alias with this name, or None."""
        return await self._registry.alias(project_id, name)

    async def history(self, project_id: str, name: str) -> list[Change]:
        """The last 100 changes to an alias, newest first."""
        found = await reply(self._redis.lrange(history_key(project_id, name), 0, -1))
        return parse_known(Change, ((name, raw) for raw in found))

    async def put(
        self,
        project_id: str,
        name: str,
        targets: tuple[Target, ...],
        *,
        key_id: str,
        gate: Mapping[str, str] | None = None,
        suites: tuple[Suite, ...] | None = None,
        schedule: Schedule | Literal["keep"] | None = "keep",
        force: bool = False,
        reason: str | None = None,
        measured: Mapping[str, Lows] | None = None,
        expected: Precondition = ANY_STATE,
    ) -> AliasRecord:
        """Point an alias at these targets, creating it if needed.

        The alias keeps its gate if `gate` is None, and its suites if `suites` is. If the targets
        change, the trained models among them must meet the gate, and new models the bounds of the
        suites, unless `force` is set; the history then records the failures and the `reason`.
        `measured` has limits of suites by model, besides those of checks.

        Setting the current targets and gate again changes nothing, so a repeated request does not
        alter the history that rollback uses. Raises ValueError for an invalid name, NameReserved,
        UnknownTarget, NotApproved, GateFailed, ReasonMissing, TooManyAliases or AliasChanged.
        """
        if not is_name(name):
            raise ValueError(name)
        change_id = ids.random_part()

        async def decide(pipe: Pipeline) -> tuple[AliasRecord, Write | None]:
            current = await self._current(pipe, project_id, name)
            expected.check(current)
            await self._refuse_reserved(pipe, name)
            if current is None:
                await self._refuse_too_many(pipe, project_id)
            after = _with_targets(current, project_id, name, targets, gate, change_id)
            if suites is not None:
                after = after.model_copy(update={"suites": suites})
            if schedule != "keep":
                after = after.model_copy(update={"schedule": schedule})
            if current is not None and _same(current, after):
                return current, None
            await self._watch_targets(pipe, after)
            if current is None or current.targets != after.targets:
                await self._require_approvals(pipe, after)
            failed = await self._failed(pipe, current, after, measured or {})
            if failed and not force:
                raise GateFailed(failed)
            is_explained = reason is not None
            if not is_explained and any(one.gate == "suite" for one in failed):
                raise ReasonMissing
            if not is_explained and current and are_looser(after.suites, current.suites):
                raise ReasonMissing
            return after, self._write(current, after, "set", key_id, failed, reason)

        return await self._commit(project_id, name, change_id, decide, key_id)

    async def rollback(
        self, project_id: str, name: str, *, key_id: str, expected: Precondition = ANY_STATE
    ) -> AliasRecord:
        """Restore the targets from before the last change. A second rollback undoes the first.

        The gate is kept and does not apply, because the previous targets were served before.
        Raises Missing, NoPreviousTargets, UnknownTarget if a previous model no longer exists,
        NotApproved, or AliasChanged, also for a concurrent change, after which the previous targets
        are no longer those that the caller saw.
        """
        change_id = ids.random_part()
        seen: str | None = None

        async def decide(pipe: Pipeline) -> tuple[AliasRecord, Write]:
            nonlocal seen
            current = await self._current(pipe, project_id, name)
            if current is None:
                raise Missing(name)
            expected.check(current)
            if seen is not None and current.etag != seen:
                raise AliasChanged
            seen = current.etag
            targets = await self._before(pipe, project_id, name)
            after = _with_targets(current, project_id, name, targets, None, change_id)
            await self._watch_targets(pipe, after)
            await self._require_approvals(pipe, after)
            return after, self._write(current, after, "rollback", key_id)

        return await self._commit(project_id, name, change_id, decide, key_id)

    async def delete(
        self, project_id: str, name: str, *, key_id: str, expected: Precondition = ANY_STATE
    ) -> None:
        """Delete an alias and its history. Raises Missing, AliasChanged or HasSuites."""

        async def decide(pipe: Pipeline) -> tuple[None, Write]:
            current = await self._current(pipe, project_id, name)
            if current is None:
                raise Missing(name)
            expected.check(current)
            if current.suites:
                raise HasSuites
            return None, partial(self._write_deletion, current)

        await commit(self._redis, [self.records.key(project_id, name)], decide)
        log.info("alias %s was deleted by %s", name, key_id)
        self._registry.forget(project_id, name)

    async def _commit(
        self,
        project_id: str,
        name: str,
        change_id: str,
        decide: Decide[AliasRecord],
        key_id: str,
    ) -> AliasRecord:
        after = await commit(self._redis, [self.records.key(project_id, name)], decide)
        if after.etag == change_id:
            log.info("alias %s: changed by %s, generation %d", name, key_id, after.generation)
            self._registry.forget(project_id, name)
        return after

    async def _current(self, pipe: Pipeline, project_id: str, name: str) -> AliasRecord | None:
        raw = await pipe.get(self.records.key(project_id, name))
        return None if raw is None else parse(AliasRecord, raw, name)

    async def _before(self, pipe: Pipeline, project_id: str, name: str) -> tuple[Target, ...]:
        for raw in await reply(pipe.lrange(history_key(project_id, name), 0, -1)):
            change = parse(Change, raw, name)
            if change.before != change.after:  # otherwise only the gate was changed
                if change.before:
                    return change.before
                break
        raise NoPreviousTargets(name)

    async def _refuse_reserved(self, pipe: Pipeline, name: str) -> None:
        """Raise NameReserved for the name of a base model or in the format of trained models.

        Names in that format over a known base model are reserved in all projects, even if no such
        model exists, because they may be assigned to one.
        """
        catalogue = self._registry.catalogue
        base = catalogue.get(base_of(name) or name)
        if base is not None or await self._registry.is_or_was_model(pipe, name):
            raise NameReserved(name)

    async def _refuse_too_many(self, pipe: Pipeline, project_id: str) -> None:
        index = self.records.index(project_id)
        await pipe.watch(index)
        if await reply(pipe.zcard(index)) >= self._max_per_project:
            raise TooManyAliases

    async def _watch_targets(self, pipe: Pipeline, after: AliasRecord) -> None:
        for target in after.targets:
            if not await self._registry.watch_target(pipe, after.project_id, target.model):
                raise UnknownTarget(target.model)

    async def _require_approvals(self, pipe: Pipeline, after: AliasRecord) -> None:
        models = [target.model for target in after.targets]
        await require_approvals(self._registry, after.project_id, models, pipe)

    async def _failed(
        self,
        pipe: Pipeline,
        current: AliasRecord | None,
        after: AliasRecord,
        measured: Mapping[str, Lows],
    ) -> tuple[FailedCondition, ...]:
        """Return the conditions that new targets do not meet. A change of the gate alone passes."""
        if current is not None and current.targets == after.targets:
            return ()
        failed = await failed_conditions(
            pipe, self._registry, after.project_id, after.targets, after.gate
        )
        return failed + await failed_suites(pipe, current, after, measured)

    def _write(
        self,
        current: AliasRecord | None,
        after: AliasRecord,
        action: Literal["set", "rollback"],
        key_id: str,
        failed: tuple[FailedCondition, ...] = (),
        reason: str | None = None,
    ) -> Write:
        """Return what writes an alias, its history and its targets' alias sets."""
        project_id, name = after.project_id, after.id
        before = () if current is None else current.targets
        is_loosened = current is not None and are_looser(after.suites, current.suites)
        change = Change(
            id=after.etag,
            generation=after.generation,
            created_at=after.updated_at,
            action=action,
            key_id=key_id,
            before=before,
            after=after.targets,
            gate=after.gate,
            failed=failed,
            suites=after.suites,
            loosened=is_loosened,
            reason=reason if failed or is_loosened else None,
        )

        def write(pipe: Pipeline) -> None:
            self.records.add(pipe, after)
            note_change(pipe, after)
            if current is None or current.schedule != after.schedule:
                schedule_next(pipe, project_id, name, after.schedule)
            for target in before:
                touch(target.model)
                pipe.srem(users_key(project_id, target.model), name)
            for target in after.targets:
                touch(target.model)
                pipe.sadd(users_key(project_id, target.model), name)
            pipe.lpush(history_key(project_id, name), change.model_dump_json())
            pipe.ltrim(history_key(project_id, name), 0, MAX_HISTORY - 1)
            invalidation.publish(pipe, invalidation.InvalidationKind.MODEL, project_id, name)

        return write

    def _write_deletion(self, current: AliasRecord, pipe: Pipeline) -> None:
        project_id, name = current.project_id, current.id
        self.records.remove(pipe, project_id, name)
        pipe.delete(history_key(project_id, name), lows_key(project_id, name))
        schedule_next(pipe, project_id, name, None)
        forget_alias(pipe, project_id, name)
        for target in current.targets:
            touch(target.model)
            pipe.srem(users_key(project_id, target.model), name)
        invalidation.publish(pipe, invalidation.InvalidationKind.MODEL, project_id, name)


def _with_targets(
    current: AliasRecord | None,
    project_id: str,
    name: str,
    targets: tuple[Target, ...],
    gate: Mapping[str, str] | None,
    etag: str,
) -> AliasRecord:
    now = clock.now_s()
    kept = {} if current is None else current.gate
    return AliasRecord(
        id=name,
        project_id=project_id,
        created_at=now if current is None else current.created_at,
        updated_at=now,
        generation=1 if current is None else current.generation + 1,
        etag=etag,
        targets=targets,
        gate=kept if gate is None else dict(gate),
        suites=() if current is None else current.suites,
        schedule=None if current is None else current.schedule,
    )


def _same(current: AliasRecord, after: AliasRecord) -> bool:
    changed = ("targets", "gate", "suites", "schedule")
    return all(getattr(current, name) == getattr(after, name) for name in changed)
