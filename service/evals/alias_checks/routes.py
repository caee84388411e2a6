"""`/v1/alias_checks`: the suites of aliases, run with a model."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, Header

from service.core import clock
from service.core.claims import Claim
from service.core.errors import BadRequest, Conflict, NotFound
from service.core.records import Missing
from service.evals.alias_checks.measure import measure
from service.evals.alias_checks.records import (
    MAX_UNFINISHED,
    AliasChecks,
    CheckRecord,
    SuiteRun,
    new_check,
)
from service.evals.alias_checks.schemas import AliasCheck, CreateAliasCheck
from service.evals.comparison.compare import PASSED
from service.evals.records import Evals, RunStatus
from service.models.aliases.changes import Aliases
from service.models.aliases.schemas import AliasSuite
from service.models.aliases.suites import Lows, Suite
from service.models.lookup import model_not_found
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.operations import Operations, add_routes
from service.web.permissions import Permission, needs
from service.work.records import WorkEnded
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/alias_checks", tags=["Aliases"])
Store = Annotated[AliasChecks, Depends(resource("alias_checks"))]


class AliasCheckOperations(Operations[CheckRecord]):
    """The checks of aliases, with their runs."""

    noun = "alias check"
    schema = AliasCheck
    kept = "runs"
    filters: ClassVar = {"alias": "Name of the alias."}

    @property
    def store(self) -> AliasChecks:
        """The store of the checks."""
        checks: AliasChecks = self.request.app.state.alias_checks
        return checks

    async def cancel(self, record: CheckRecord) -> CheckRecord:
        """Cancel a check and its runs. Raises Missing and WorkEnded."""
        after = await super().cancel(record)
        runs = self.request.app.state.evals.runs
        for one in record.runs:
            run = await runs.get_run(record.project_id, one.suite.eval_id, one.run_id)
            if run is not None:
                with contextlib.suppress(Missing, WorkEnded):
                    await runs.change(run, lambda current: current.cancel(clock.now_s()))
        return after


@router.post(
    "",
    operation_id="createAliasCheck",
    summary="Check an alias",
    openapi_extra=needs(Permission.ALIASES_WRITE, AuditEvent.ALIAS_CHECK_CREATED),
)
async def create_check(
    body: CreateAliasCheck,
    caller: Caller,
    store: Store,
    aliases: Annotated[Aliases, Depends(resource("aliases"))],
    registry: Annotated[ModelRegistry, Depends(resource("registry"))],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> AliasCheck:
    """Run the suites of an alias with a model, and compare the runs with the suites' baselines.
    With `move`, the alias then points at the model if no lower limit of an interval is below its
    bound. Otherwise a `PUT` of the alias can use the result.
    """

    async def make(claim: Claim[CheckRecord]) -> CheckRecord:
        alias = await aliases.get(caller.project_id, body.alias)
        if alias is None:
            raise NotFound(f"No such alias: {body.alias[:200]}", param="alias")
        if not alias.suites:
            raise BadRequest(
                f"The alias '{alias.id}' has no suites. Set them first.",
                param="alias",
                code="invalid_value",
            )
        models = tuple(target.model for target in alias.targets)
        if body.model is not None:
            found = await registry.resolve(caller.project_id, body.model)
            if found is None or found.model.name != body.model:
                advice = " Only base models and trained models can be checked."
                raise model_not_found(body.model, advice=advice)
            models = (body.model,)
        check_room(await store.count_unfinished(caller.project_id), MAX_UNFINISHED, "alias checks")
        check = new_check(alias, models, clock.now_s(), key_id=caller.key_id, move=body.move)
        return await store.create(check.model_copy(update={"metadata": body.metadata}), claim)

    return await create_once(
        AliasCheck, store.redis, caller.project_id, idempotency_key, comparable(body), make
    )


add_routes(
    router,
    AliasCheckOperations,
    read=Permission.ALIASES_READ,
    write=Permission.ALIASES_WRITE,
    cancelled=AuditEvent.ALIAS_CHECK_CANCELLED,
    deleted=AuditEvent.ALIAS_CHECK_DELETED,
)


def suite_requirement(
    evals: Evals,
) -> Callable[[str, AliasSuite, Collection[str]], Awaitable[dict[str, Lows]]]:
    """Return a function that raises ApiError for a suite that cannot be run.

    It returns what the suite's own run measured by model, if its model is one of `models`.
    """

    async def require(
        project_id: str, suite: AliasSuite, models: Collection[str]
    ) -> dict[str, Lows]:
        record = await evals.get(project_id, suite.eval_id)
        if record is None:
            raise NotFound(f"No such eval: {suite.eval_id[:80]}", param="suites")
        run = await evals.runs.get_run(project_id, record.id, suite.run_id)
        if run is None:
            raise NotFound(f"No such run: {suite.run_id[:80]}", param="suites")
        if run.status is not RunStatus.COMPLETED:
            raise Conflict(
                f"The run {run.id} is {run.status}. A suite needs a completed run.", param="suites"
            )
        names = [PASSED, *(str(grader["name"]) for grader in record.testing_criteria)]
        if run.model is None or suite.metric not in names:
            reason = (
                "its answers were given, so it cannot be run with another model"
                if run.model is None
                else f"its metrics are {', '.join(names)}"
            )
            raise BadRequest(
                f"Invalid value for 'suites': the run {run.id} is no suite for the metric "
                f"'{suite.metric[:80]}': {reason}.",
                param="suites",
                code="invalid_value",
            )
        if run.model not in models:
            return {}
        chosen = Suite(**suite.model_dump())
        own = SuiteRun(model=run.model, suite=chosen, run_id=run.id)
        return {run.model: (await measure(evals, own, run, run)).lows()}

    return require
