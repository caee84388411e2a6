"""The `run_eval` task: take an attempt of a run under a lease, and end the run or hand it back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from pydantic import TypeAdapter

from service.core import ids, metrics, tracing
from service.core.leases import Ending, watched
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import QUOTA, QuotaExceeded, StorageError
from service.evals import lifecycle
from service.evals.attempt import Attempt
from service.evals.data_sources import DataSource, JsonlDataSource
from service.evals.item_work import ItemWork, Plan
from service.evals.lifecycle import RunSuperseded
from service.evals.records import EvalRecord, Evals, RunFailure, RunRecord
from service.evals.sampling import Sampler
from service.evals.source import RunFailed
from service.files.curation.child_runner import DeskFailed
from service.files.curation.scratch import scratch_folder
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.inference.background.calls import EngineCalls, ModelGone
from service.inference.background.engine_task import EngineTask, Resources

log = logging.getLogger(__name__)
_GRADERS: TypeAdapter[list[Grader]] = TypeAdapter(list[Grader])
_DATA_SOURCE: TypeAdapter[DataSource] = TypeAdapter(DataSource)
_NOT_SAMPLED: Final = {"seed": 0, "temperature": 0.0, "top_p": 0.0}
# In place of the items of the request, which the record does not have.
_NO_ITEMS: Final[list[Any]] = [{"item": {}}]


class RunEval(EngineTask[RunRecord]):
    """Runs evaluation runs on this worker."""

    superseded = RunSuperseded

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self._evals = Evals(self._files.redis)

    async def _find(self, project_id: str, subject: str) -> RunRecord | None:
        return await self._evals.get_run(project_id, *subject.split("/"))

    async def _do(self, run: RunRecord, lease_lost: asyncio.Event) -> None:
        record = await self._evals.get(run.project_id, run.eval_id)
        if record is None:
            return
        attempt = run.attempt
        run = await self._evals.change(run, lambda r: lifecycle.start(r, attempt, ids.now_s()))
        facts: dict[str, tracing.Value] = {"run": run.id, "attempt": attempt}
        log.info("%s: attempt %d begins", run.id, attempt)
        metrics.EVAL_RUNS_RUNNING.cell().inc()
        with tracing.span("eval.attempt", parent=run.trace, kind="consumer", **facts):
            try:
                await self._watched(run, record, lease_lost)
            except (Missing, RunSuperseded):
                await self._evals.forget_deleted(run)  # a chunk may have been stored since
                raise
            except RunFailed as e:
                await self._fail(run, e.failure)
            except DeskFailed as e:
                await self._fail(run, RunFailure(code=e.code, message=e.message))
            except QuotaExceeded as e:
                await self._fail(run, RunFailure(code=QUOTA, message=str(e)))
            except (StorageError, *REDIS_ERRORS):
                raise  # continued by another attempt
            except Exception:
                # An internal error: report it once instead of retrying forever.
                log.exception("%s failed", run.id)
                message = f"The service failed on this run. Give the operator its id: {run.id}."
                await self._fail(run, RunFailure(code="internal_error", message=message))
            finally:
                metrics.EVAL_RUNS_RUNNING.cell().inc(-1)

    async def _fail(self, run: RunRecord, failure: RunFailure) -> None:
        await self._evals.change(
            run,
            lambda r: lifecycle.fail(
                lifecycle.same_attempt(r, run), run.attempt, failure, ids.now_s()
            ),
        )

    async def _watched(self, run: RunRecord, record: EvalRecord, lease_lost: asyncio.Event) -> None:
        """Work on the items until the run ends, or the lease, the run or the worker does."""
        async with self._prepared(run, record) as work:
            attempt = Attempt(run, record, work, evals=self._evals, files=self._files)
            running = asyncio.create_task(self._in_scratch(run, attempt))
            ending = await watched(
                running,
                draining=self.draining,
                lease_lost=lease_lost,
                is_ours=lambda: self._is_ours(run),
                stop=attempt.stop,
            )
        if ending is Ending.LOST:
            raise RunSuperseded
        if attempt.completed:
            log.info("%s: attempt %d completed the run", run.id, run.attempt)
        else:
            await self._hand_back(run)

    async def _in_scratch(self, run: RunRecord, attempt: Attempt) -> None:
        async with scratch_folder(self._settings.scratch / run.id) as folder:
            # While answers are graded, others are sampled.
            await attempt.run(folder, 2 * self._settings.eval_requests_at_once)

    async def _hand_back(self, run: RunRecord) -> None:
        after = await self._evals.change(
            run, lambda r: lifecycle.hand_back(lifecycle.same_attempt(r, run), run.attempt)
        )
        await self._evals.enqueue(after)
        log.info("%s: attempt %d is handed back", run.id, run.attempt)

    @contextlib.asynccontextmanager
    async def _prepared(self, run: RunRecord, record: EvalRecord) -> AsyncIterator[ItemWork]:
        """Open what the work on the run's items needs."""
        calls = self._access.calls(run.project_id, run.key_id)
        plan = await self._plan(run, record, calls)
        gate = asyncio.Semaphore(self._settings.eval_requests_at_once)
        async with Sandbox() as sandbox:
            yield ItemWork(plan, calls, sandbox, gate)

    async def _plan(self, run: RunRecord, record: EvalRecord, calls: EngineCalls) -> Plan:
        source = data_source_of(run)
        graders = _GRADERS.validate_python(record.testing_criteria)
        if isinstance(source, JsonlDataSource):
            return Plan(graders, None, None, _NOT_SAMPLED, 0)
        assert source.model is not None
        params = source.sampling_params
        return Plan(
            graders=graders,
            messages=source.input_messages,
            sampler=Sampler(source, source.model, calls),
            params=params.model_dump(exclude_none=True) if params else {},
            context_length=await self._context_length(run.project_id, source.model),
        )

    async def _context_length(self, project_id: str, model: str) -> int:
        found = await self._registry.resolve(project_id, model)
        if found is None:
            gone = ModelGone(model)
            raise RunFailed(gone.code, gone.message)
        entry = self._registry.catalogue.get(found.model.base_model)
        return entry.context_length if entry else 0


def data_source_of(run: RunRecord) -> DataSource:
    """The data source of a run, without the items of the request."""
    data_source = run.data_source
    if run.is_inline:
        data_source = {**data_source, "source": {"type": "file_content", "content": _NO_ITEMS}}
    return _DATA_SOURCE.validate_python(data_source)
