"""The kinds of work that workers do in attempts, besides jobs: where it is, and how it is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from service.batches import lifecycle as batch_lifecycle
from service.batches.records import FUNCTION as RUN_BATCH
from service.batches.records import Batches
from service.core import ids, metrics, queue
from service.core.redis import Client
from service.erasure.search.records import FUNCTION as ERASE_ROWS
from service.erasure.search.records import Searches
from service.evals import lifecycle as run_lifecycle
from service.evals.records import FUNCTION as RUN_EVAL
from service.evals.records import Evals, RunRecord, RunStatus
from service.exports import lifecycle as export_lifecycle
from service.exports.records import FUNCTION as EXPORT_MODEL
from service.exports.records import Exports
from service.files.curation.records import FUNCTION as CURATE_FILE
from service.files.curation.records import Tasks
from service.files.records import FUNCTION as CHECK_FILE
from service.files.records import Files
from service.generation import lifecycle as generation_lifecycle
from service.generation.records import FUNCTION as GENERATE_ROWS
from service.generation.records import Generations
from service.jobs.advice.records import FUNCTION as ADVISE_TRAINING
from service.jobs.advice.records import AdviceStore
from service.jobs.evaluation.progress import Progress
from service.jobs.evaluation.records import FUNCTION as EVALUATE_JOB
from service.jobs.evaluation.records import Evaluations, JobEvaluation
from service.jobs.records import Jobs


@dataclass(frozen=True)
class Kind:
    """A kind of work.

    `lose` notes that the worker of an attempt died: it enqueues the next one, or ends the work if
    this many attempts were lost. `observe` gets all unfinished work, for metrics.
    """

    function: str
    lane: str
    unfinished: Callable[[], Awaitable[Sequence[Any]]]
    enqueue: Callable[[Any], Awaitable[object]]
    lose: Callable[[Any, int], Awaitable[object]]
    observe: Callable[[Sequence[Any]], None] = lambda _: None


def kinds_of_work(redis: Client, jobs: Jobs, files: Files) -> tuple[Kind, ...]:
    """Return all kinds except jobs, whose records are their queue."""
    return (
        _checks(files),
        _file_tasks(Tasks(redis)),
        _evaluations(Evaluations(redis), jobs),
        _advice(AdviceStore(redis)),
        _exports(Exports(redis)),
        _runs(Evals(redis)),
        _batches(Batches(files)),
        _generations(Generations(files)),
        _searches(Searches(redis)),
    )


def _checks(files: Files) -> Kind:
    return Kind(
        CHECK_FILE,
        queue.CPU,
        unfinished=lambda: files.unchecked(ids.now_s()),
        enqueue=files.enqueue_check,
        lose=files.lose_check,
    )


def _file_tasks(tasks: Tasks) -> Kind:
    return Kind(CURATE_FILE, queue.CPU, tasks.unfinished, tasks.enqueue, tasks.lose)


def _searches(store: Searches) -> Kind:
    return Kind(ERASE_ROWS, queue.CPU, store.unfinished, store.enqueue, store.lose)


def _advice(store: AdviceStore) -> Kind:
    return Kind(ADVISE_TRAINING, queue.EVALS, store.unfinished, store.enqueue, store.lose)


def _evaluations(evaluations: Evaluations, jobs: Jobs) -> Kind:
    async def lose(evaluation: JobEvaluation, most_lost: int) -> None:
        await Progress(evaluations, jobs, evaluation).lose(most_lost)

    return Kind(
        EVALUATE_JOB,
        queue.EVALS,
        evaluations.unfinished,
        evaluations.enqueue,
        lose,
        observe=lambda found: metrics.JOB_EVALUATIONS_UNFINISHED.cell().set(len(found)),
    )


def _exports(exports: Exports) -> Kind:
    return Kind(
        EXPORT_MODEL,
        queue.EVALS,
        exports.unfinished,
        exports.enqueue,
        _loses(exports, export_lifecycle.lose),
        observe=lambda found: metrics.EXPORTS_UNFINISHED.cell().set(len(found)),
    )


def _runs(evals: Evals) -> Kind:
    return Kind(
        RUN_EVAL,
        queue.EVALS,
        evals.unfinished,
        evals.enqueue,
        _loses(evals, run_lifecycle.lose),
        observe=_observe_runs,
    )


def _batches(batches: Batches) -> Kind:
    return Kind(
        RUN_BATCH,
        queue.BATCHES,
        batches.unfinished,
        batches.enqueue,
        _loses(batches, batch_lifecycle.lose),
        observe=lambda found: metrics.BATCHES_UNFINISHED.cell().set(len(found)),
    )


def _generations(generations: Generations) -> Kind:
    return Kind(
        GENERATE_ROWS,
        queue.BATCHES,
        generations.unfinished,
        generations.enqueue,
        _loses(generations, generation_lifecycle.lose),
        observe=lambda found: metrics.GENERATIONS_UNFINISHED.cell().set(len(found)),
    )


def _loses(
    store: Exports | Evals | Batches | Generations, change: Callable[[Any, int, int, int], Any]
) -> Callable[[Any, int], Awaitable[object]]:
    """Return the `lose` of work whose lifecycle has the change for a lost attempt."""

    async def lose(record: Any, most_lost: int) -> None:
        after: Any = await store.change(
            record, lambda r: change(r, record.attempt, most_lost, ids.now_s())
        )
        if not after.is_final:
            await store.enqueue(after)

    return lose


def _observe_runs(runs: Sequence[RunRecord]) -> None:
    for status in (RunStatus.QUEUED, RunStatus.IN_PROGRESS):
        number = sum(run.status is status for run in runs)
        metrics.EVAL_RUNS_UNFINISHED.cell(status).set(number)
