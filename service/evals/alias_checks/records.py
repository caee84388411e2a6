"""Redis records of alias checks.

    finetuned:{project}:alias-checks:{id}   a check, with the IDs of its runs
    finetuned:alias-checks-unfinished       "project/id" of those that have not ended

The IDs of the runs are chosen with the check, so a process that continues after another one died
creates none twice.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from redis.asyncio.client import Pipeline

from service.core import ids, outbox, queue
from service.core.outbox import Event
from service.core.records import Stored
from service.models.aliases.records import AliasRecord
from service.models.aliases.suites import Suite
from service.work.records import Kind, OperationRecord, WorkError
from service.work.store import WorkStore

WORSENED: Final = "alias.worsened"
MAX_UNFINISHED: Final = 10  # of a project


class CheckStatus(StrEnum):
    """Status of a check."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SuiteRun(Stored):
    """A run of a suite with a model. The limits are known once the check is completed."""

    model: str
    suite: Suite
    run_id: str
    difference_low: float | None = None
    difference_mean: float | None = None
    difference_high: float | None = None
    score_low: float | None = None
    score_mean: float | None = None
    score_high: float | None = None

    def lows(self) -> dict[str, float]:
        """Return the lower limits that have a bound, by `Suite.figures`."""
        found = {"difference_low": self.difference_low, "score_low": self.score_low}
        names = [(key, found[key.rpartition(".")[2]]) for key, _ in self.suite.figures()]
        return {key: low for key, low in names if low is not None}

    @property
    def passed(self) -> bool:
        """Whether all limits are known, and none is below its bound."""
        return not any(self.suite.unmet(self.lows()))


class CheckRecord(OperationRecord):
    """A check of an alias's suites with models: a candidate, or those behind the alias."""

    work = Kind(
        noun="alias check",
        collection="alias-checks",
        function="",  # the reconciler continues checks, which only wait for their runs
        lane=queue.EVALS,
        id_prefix=ids.ALIAS_CHECK,
        doing="",
        interrupted="",
        event="alias.check",
    )
    final = frozenset({CheckStatus.COMPLETED, CheckStatus.FAILED, CheckStatus.CANCELLED})
    failed = CheckStatus.FAILED
    cancelled = CheckStatus.CANCELLED

    alias: str
    etag: str  # of the alias when the check was created
    move: bool
    scheduled: bool = False
    key_id: str  # of the key that pays, and that moves the alias
    runs: tuple[SuiteRun, ...]
    status: CheckStatus = CheckStatus.IN_PROGRESS
    moved: bool = False
    error: WorkError | None = None
    finished_at: int | None = None

    @property
    def passed(self) -> bool:
        """Whether no lower limit of a completed check is below its bound."""
        return all(run.passed for run in self.runs)


def new_check(
    alias: AliasRecord, models: tuple[str, ...], now_s: int, *, key_id: str, move: bool = False
) -> CheckRecord:
    """Return a new check of all suites of an alias with these models."""
    return CheckRecord(
        id=ids.new(ids.ALIAS_CHECK),
        project_id=alias.project_id,
        created_at=now_s,
        started_at=now_s,
        alias=alias.id,
        etag=alias.etag,
        move=move,
        key_id=key_id,
        runs=tuple(
            SuiteRun(model=model, suite=suite, run_id=ids.new(ids.EVAL_RUN))
            for model in models
            for suite in alias.suites
        ),
    )


class AliasChecks(WorkStore[CheckRecord]):
    """The checks of all aliases."""

    record = CheckRecord

    async def enqueue(self, record: CheckRecord) -> None:
        """Do nothing: the reconciler continues checks."""

    def _on_ended(self, pipe: Pipeline, record: CheckRecord) -> None:
        super()._on_ended(pipe, record)
        if record.status is CheckStatus.COMPLETED and not record.passed:
            event = self._end_of(record)
            worsened = {"id": ids.new(ids.WEBHOOK_EVENT), "type": WORSENED}
            outbox.add(pipe, Event.model_validate(event.model_dump() | worsened))
