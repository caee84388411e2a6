"""The tasks that a worker takes from each queue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from arq.worker import Function, func

from service.batches.records import Batches
from service.batches.task import RunBatch
from service.core.encryption.signing import InstallationKey
from service.erasure.eraser import Eraser
from service.erasure.search.records import Searches
from service.erasure.search.task import EraseRows
from service.evals.records import Evals
from service.evals.task import RunEval
from service.evidence.signing import FUNCTION as SIGN_EVIDENCE
from service.evidence.signing import SignEvidence
from service.exports.records import Exports
from service.exports.task import ExportModel
from service.files.curation.check import CheckFile
from service.files.curation.cleaning import MakeCleaning
from service.files.curation.measure import MakeMeasure
from service.files.curation.preview import MakePreview
from service.files.curation.records import TaskKind, Tasks
from service.files.curation.report import MakeReport
from service.files.curation.task import RunFileTask
from service.files.curation.versions.diff import MakeDiff
from service.files.curation.versions.merge import MakeMerge
from service.files.records import Files
from service.generation.records import Generations
from service.generation.task import GenerateRows
from service.imports.task import ImportAdapter
from service.inference.background.calls import Resources
from service.jobs.advice.records import AdviceStore
from service.jobs.advice.task import AdviseTraining
from service.jobs.attempt.train_task import TrainTask
from service.jobs.dispatch import Dispatcher
from service.jobs.evaluation.records import Evaluations
from service.jobs.evaluation.task import EvaluateJob
from service.jobs.planning.overlap import CountOverlap
from service.jobs.planning.prepare_task import PrepareTask
from service.jobs.records import Jobs
from service.work.store import WorkStore
from service.work.task import WorkTask

if TYPE_CHECKING:
    from arq.typing import WorkerCoroutine

_PREPARE_TRIES = 1_000_000  # it is retried while a file is being checked


class QueueTasks:
    """All tasks of a worker, by the queue that they come from."""

    def __init__(
        self,
        resources: Resources,
        jobs: Jobs,
        *,
        train: TrainTask,
        eraser: Eraser,
        dispatcher: Dispatcher,
    ) -> None:
        files, leases, settings = resources.files, resources.leases, resources.settings
        catalogue = resources.registry.catalogue
        self.train = train
        self.evaluate_job = EvaluateJob(jobs, resources)
        check_file = CheckFile(files, leases, settings)
        run_file_task = _file_task_runner(resources)
        erase_rows = EraseRows(files, leases, settings, eraser)
        prepare_job = PrepareTask(jobs, files, catalogue, leases, settings, dispatcher)
        sign_evidence = SignEvidence(files.redis, InstallationKey(settings.signing_key))
        run_eval = RunEval(resources)
        advise_training = AdviseTraining(resources)
        export_model = ExportModel(jobs, resources)
        run_batch = RunBatch(resources)
        generate_rows = GenerateRows(resources)
        self._functions = {
            "cpu": [
                _work(check_file),
                _work(run_file_task),
                _work(erase_rows),
                _function("prepare_job", prepare_job.run, max_tries=_PREPARE_TRIES),
                _function(SIGN_EVIDENCE, sign_evidence.run),
            ],
            "gpu": [_function("train", train.run)],
            "evals": [
                _work(run_eval),
                _work(self.evaluate_job),
                _work(advise_training),
                _work(export_model),
            ],
            "batches": [_work(run_batch), _work(generate_rows)],
        }
        self._drained = (
            train,
            run_file_task,
            run_eval,
            self.evaluate_job,
            advise_training,
            export_model,
            run_batch,
            generate_rows,
        )

    def functions(self, queue: str) -> Sequence[Function]:
        """Return the functions that arq calls for a queue."""
        return self._functions[queue]

    def drain(self) -> None:
        """Let long tasks stop and hand their work back to the queue."""
        for task in self._drained:
            task.draining.set()


def _file_task_runner(resources: Resources) -> RunFileTask:
    files, settings, registry = resources.files, resources.settings, resources.registry
    catalogue = registry.catalogue
    return RunFileTask(
        files,
        resources.leases,
        settings,
        {
            TaskKind.REPORT: MakeReport(files, catalogue, settings),
            TaskKind.PREVIEW: MakePreview(files, settings),
            TaskKind.CLEANING: MakeCleaning(files, settings),
            TaskKind.DIFF: MakeDiff(files, settings),
            TaskKind.MERGE: MakeMerge(files, settings),
            TaskKind.MEASURE: MakeMeasure(files, catalogue, settings),
            TaskKind.OVERLAP: CountOverlap(files, settings),
            TaskKind.IMPORT: ImportAdapter(files, registry, settings),
        },
    )


def stores_of(files: Files) -> tuple[WorkStore[Any], ...]:
    """Return the stores of all kinds of background work. Jobs are not among them."""
    redis = files.redis
    return (
        files.checks,
        Tasks(redis),
        Evaluations(redis),
        AdviceStore(redis),
        Exports(redis),
        Evals(redis).runs,
        Batches(files),
        Generations(files),
        Searches(redis),
    )


def _work(task: WorkTask[Any]) -> Function:
    return _function(task.kind.function, task.run)


def _function(name: str, run: Callable[..., Awaitable[None]], *, max_tries: int = 1) -> Function:
    # A bound method satisfies arq's protocol, except for its type annotations.
    return func(cast("WorkerCoroutine", run), name=name, max_tries=max_tries)
