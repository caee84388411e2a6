"""Continues checks of aliases: creates their runs, waits for them, decides, and moves the alias.

The reconciler calls `continue_checks` every few seconds. Each step is idempotent: a run is created
only if its ID is unknown, the limits and the final status are one transaction, and an alias moves
only from the version that the check was created for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from redis.asyncio.client import Pipeline

from service.config import Settings
from service.core import clock
from service.core.claims import Claim, ClaimLost
from service.core.errors import LimitReached, RateLimited
from service.core.records import Missing, parse
from service.core.redis import reply, text
from service.core.redis.transactions import Write, commit
from service.core.storage import Storage, StorageMissing
from service.evals.alias_checks.measure import measure
from service.evals.alias_checks.records import (
    AliasChecks,
    CheckRecord,
    CheckStatus,
    SuiteRun,
    new_check,
)
from service.evals.creation import check_room
from service.evals.records import EvalRecord, Evals, RunRecord, RunStatus
from service.models.aliases.changes import AliasChanged, Aliases, Precondition, UnknownTarget
from service.models.aliases.gates import GateFailed, explain
from service.models.aliases.records import AliasRecord, Target
from service.models.aliases.suites import SCHEDULES, next_time, write_lows
from service.models.approvals import NotApproved
from service.web.audit_events import AuditEvent
from service.web.audit_trail import SYSTEM, Trail, following
from service.work.records import WorkError


class CheckFailed(Exception):
    """The check cannot be completed. The alias does not move."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _NewRun(Claim[RunRecord]):
    """Requires that the run does not exist."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def check(self, pipe: Pipeline) -> None:
        await pipe.watch(self._key)
        if await pipe.exists(self._key):
            raise ClaimLost


class CheckRunner:
    """Continues the checks of all aliases."""

    def __init__(
        self, evals: Evals, aliases: Aliases, storage: Storage, settings: Settings
    ) -> None:
        self._evals = evals
        self._aliases = aliases
        self._storage = storage
        self._settings = settings
        self.checks = AliasChecks(evals.redis)

    async def continue_all(self, logged: Callable[[str], AbstractContextManager[None]]) -> None:
        """Create the checks that are due, and continue all. `logged` handles errors of one."""
        due = await reply(self.checks.redis.zrangebyscore(SCHEDULES, 0, clock.now_s()))
        unfinished = await self.checks.unfinished() if due else []
        busy = {(one.project_id, one.alias) for one in unfinished if one.scheduled}
        for member in map(text, due):
            with logged(member):
                project_id, name = member.split("/", 1)
                await self._start_due(project_id, name, is_busy=(project_id, name) in busy)
        for check in await self.checks.unfinished():
            with logged(check.id):
                await self.advance(check)

    async def _start_due(self, project_id: str, name: str, *, is_busy: bool) -> None:
        """Create the check of an alias that is due, and note the time of the next one.

        None is created if `is_busy`: the last one is unfinished.
        """
        redis, member = self.checks.redis, f"{project_id}/{name}"
        trail = Trail(
            AuditEvent.ALIAS_CHECK_CREATED, SYSTEM, project_id=project_id, objects=(name,)
        )

        async def decide(pipe: Pipeline) -> tuple[None, Write | None]:
            now_s = clock.now_s()
            due_s = await pipe.zscore(SCHEDULES, member)
            if due_s is None or due_s > now_s:
                return None, None
            raw = await pipe.get(self._aliases.records.key(project_id, name))
            alias = None if raw is None else parse(AliasRecord, raw, name)
            if alias is None or alias.schedule is None:
                return None, lambda pipe: pipe.zrem(SCHEDULES, member)
            following_s = next_time(alias.schedule.cron, now_s)
            models = tuple(target.model for target in alias.targets)
            check = new_check(alias, models, now_s, key_id=alias.schedule.key_id)
            check = check.model_copy(update={"scheduled": True})

            def write(pipe: Pipeline) -> None:
                pipe.zadd(SCHEDULES, {member: following_s})
                if check.runs and not is_busy:
                    trail.name(AuditEvent.ALIAS_CHECK_CREATED, [check.key_id])
                    self.checks.add(pipe, check)

            return None, write

        with following(trail):
            await commit(redis, [self._aliases.records.key(project_id, name), SCHEDULES], decide)

    async def advance(self, check: CheckRecord) -> None:
        """Continue a check as far as its runs have come."""
        try:
            runs = [await self._run(check, place) for place in range(len(check.runs))]
            if any(run is None or not run.is_final for run, _ in runs):
                return
            measured = [
                await self._measure(wanted, run, baseline)
                for wanted, (run, baseline) in zip(check.runs, runs, strict=True)
                if run is not None
            ]
            after = check.model_copy(update={"runs": tuple(measured)})
            await self._store(after)
            moved = check.move and after.passed and await self._move(check)
        except CheckFailed as e:
            error = WorkError(code=e.code, message=e.message)
            await self._end(check, CheckStatus.FAILED, error=error)
            return
        await self._end(check, CheckStatus.COMPLETED, runs=after.runs, moved=moved)

    async def _run(self, check: CheckRecord, place: int) -> tuple[RunRecord | None, RunRecord]:
        """Return the run of a suite, or None if it waits for room, and the suite's baseline."""
        wanted = check.runs[place]
        eval_id, runs = wanted.suite.eval_id, self._evals.runs
        record = await self._evals.get(check.project_id, eval_id)
        baseline = await runs.get_run(check.project_id, eval_id, wanted.suite.run_id)
        if record is None or baseline is None:
            gone = wanted.suite.run_id if record else eval_id
            raise CheckFailed(
                "suite_not_found",
                f"A suite of the alias {check.alias} cannot be run: {gone} was deleted. Change the "
                "alias's suites.",
            )
        found = await runs.get_run(check.project_id, eval_id, wanted.run_id)
        return found or await self._create(check, place, record, baseline), baseline

    async def _create(
        self, check: CheckRecord, place: int, record: EvalRecord, baseline: RunRecord
    ) -> RunRecord | None:
        wanted = check.runs[place]
        run = RunRecord(
            id=wanted.run_id,
            project_id=check.project_id,
            created_at=clock.now_s(),
            eval_id=record.id,
            key_id=check.key_id,
            name=f"{check.alias}: {wanted.model}"[:256],
            metadata={"alias_check": check.id},
            data_source={**baseline.data_source, "model": wanted.model},
            model=wanted.model,
        )
        try:
            await check_room(record, self._evals, self._settings)
            if run.is_inline or run.is_stored:
                items = await self._storage.get_bytes(baseline.source_key)
                await self._storage.put_bytes(run.source_key, items)
            key = self._evals.runs.collection(record.id).key(run.project_id, run.id)
            return await self._evals.runs.create(run, _NewRun(key))
        except (RateLimited, ClaimLost):
            return None  # until the next round
        except LimitReached as e:
            raise CheckFailed("limit_reached", e.message) from e
        except (Missing, StorageMissing) as e:
            raise CheckFailed(
                "suite_not_found",
                f"A suite of the alias {check.alias} cannot be run: {record.id} or its run "
                f"{baseline.id} is being deleted. Change the alias's suites.",
            ) from e

    async def _measure(self, wanted: SuiteRun, run: RunRecord, baseline: RunRecord) -> SuiteRun:
        if run.status is not RunStatus.COMPLETED:
            why = run.error.message if run.error else f"It is {run.status}."
            raise CheckFailed("suite_run_failed", f"The run {run.id} did not complete. {why}")
        return await measure(self._evals, wanted, run, baseline)

    async def _store(self, check: CheckRecord) -> None:
        """Store the limits of a check for changes of the alias."""
        lows: dict[str, dict[str, float]] = {}
        for run in check.runs:
            lows.setdefault(run.model, {}).update(run.lows())
        key = self._aliases.records.key(check.project_id, check.alias)

        async def decide(pipe: Pipeline) -> tuple[None, Write | None]:
            if not await pipe.exists(key):
                raise CheckFailed("alias_not_found", f"The alias {check.alias} was deleted.")

            def write(pipe: Pipeline) -> None:
                for model, found in lows.items():
                    write_lows(pipe, check.project_id, check.alias, model, found)

            return None, write

        await commit(self.checks.redis, [key], decide)

    async def _move(self, check: CheckRecord) -> bool:
        """Point the alias at the model. A repetition changes nothing."""
        targets = (Target(model=check.runs[0].model),)
        current = await self._aliases.get(check.project_id, check.alias)
        if current is not None and current.targets == targets:
            return True
        trail = Trail(
            AuditEvent.ALIAS_UPDATED,
            SYSTEM,
            project_id=check.project_id,
            objects=(check.id, check.key_id),
        )
        try:
            with following(trail):
                await self._aliases.put(
                    check.project_id,
                    check.alias,
                    targets,
                    key_id=check.key_id,
                    expected=Precondition(etag=check.etag),
                )
        except AliasChanged as e:
            message = f"The alias {check.alias} was changed during the check, so it did not move."
            raise CheckFailed("alias_changed", message) from e
        except GateFailed as e:
            raise CheckFailed("gate_failed", explain(e.failed)) from e
        except NotApproved as e:
            raise CheckFailed("approval_required", e.message) from e
        except UnknownTarget as e:
            raise CheckFailed("model_not_found", f"The model {e.model} was deleted.") from e
        return True

    async def _end(self, check: CheckRecord, status: CheckStatus, **fields: Any) -> None:
        def change(current: CheckRecord) -> CheckRecord:
            if current.is_final:
                return current
            ended = current.end(status, clock.now_s(), **fields)
            passed = ended.status is CheckStatus.COMPLETED and ended.passed
            trail.count(runs=len(ended.runs), passed=int(passed), moved=int(ended.moved))
            return ended

        models = dict.fromkeys(run.model for run in check.runs)
        trail = Trail(
            AuditEvent.ALIAS_CHECK_ENDED,
            SYSTEM,
            project_id=check.project_id,
            objects=(check.id, check.alias, *models),
        )
        with following(trail):
            await self.checks.change(check, change)
