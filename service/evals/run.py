"""The `run_eval` task: take an attempt of a run under a lease, and end the run or hand it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from pydantic import TypeAdapter

from service.core import ids, metrics
from service.core.records import Missing
from service.evals.attempt import Attempt
from service.evals.data_sources import DataSource, JsonlDataSource
from service.evals.item_work import ItemWork, Plan
from service.evals.records import EvalRecord, Evals, RunRecord
from service.evals.sampling import Sampler
from service.evals.source import RunFailed
from service.files.curation.child_runner import DeskFailed
from service.files.curation.scratch import scratch_folder
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.inference.background.access import Resources
from service.inference.background.calls import EngineCalls, ModelGone
from service.work.task import ResumableTask

_GRADERS: TypeAdapter[list[Grader]] = TypeAdapter(list[Grader])
_DATA_SOURCE: TypeAdapter[DataSource] = TypeAdapter(DataSource)
_NOT_SAMPLED: Final = {"seed": 0, "temperature": 0.0, "top_p": 0.0}
# In place of the items of the request, which the record does not have.
_NO_ITEMS: Final[list[Any]] = [{"item": {}}]


class RunEval(ResumableTask[RunRecord]):
    """Runs evaluation runs on this worker."""

    failures = (DeskFailed,)

    def __init__(self, resources: Resources) -> None:
        self._files = resources.files
        self._evals = Evals(self._files.redis)
        self._runs = self._evals.runs
        super().__init__(self._runs, resources.leases)
        self._registry = resources.registry
        self._settings = resources.settings
        self._access = resources.access

    async def _clear(self, run: RunRecord) -> None:
        await self._runs.forget_deleted(run)  # a chunk may have been stored since

    @asynccontextmanager
    async def _attempt(self, run: RunRecord) -> AsyncIterator[Attempt]:
        record = await self._evals.get(run.project_id, run.eval_id)
        if record is None:
            raise Missing(run.eval_id)
        run = await self._runs.change_own(run, lambda current: current.start(ids.now_s()))
        running = metrics.EVAL_RUNS_RUNNING.cell()
        running.inc()
        try:
            calls = self._access.calls(run.project_id, run.key_id)
            plan = await self._plan(run, record, calls)
            at_once = self._settings.eval_requests_at_once
            scratch = self._settings.scratch / run.id
            async with Sandbox() as sandbox, scratch_folder(scratch) as folder:
                yield Attempt(
                    run,
                    record,
                    ItemWork(plan, calls, sandbox, asyncio.Semaphore(at_once)),
                    runs=self._runs,
                    files=self._files,
                    folder=folder,
                    concurrency=2 * at_once,  # while answers are graded, others are sampled
                )
        finally:
            running.inc(-1)

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
