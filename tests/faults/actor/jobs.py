"""Handlers and tasks of jobs, and the loops that find lost work."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

from service.core import outbox
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.jobs.attempt.reinforcement.policy import Policy
from tests.adapters import adapter
from tests.conftest import BASE_MODEL
from tests.faults.actor.base import (
    Actor,
    Check,
    answered,
    both,
    key,
    make,
    one,
    requests,
    send,
    works,
)
from tests.faults.actor.files import checked_file, delete_file, post_file
from tests.faults.children import ScriptedTrainer
from tests.faults.gate import Fault, Gate
from tests.faults.invariants import JOBS as PATH
from tests.faults.invariants import listed
from tests.faults.world import World
from tests.jobs.evaluation.labels import store_evaluation

_MIDDLE = 24  # an operation in the middle of a training


async def post_job(world: World) -> None:
    """Create a job, with an Idempotency-Key."""
    body = {"model": BASE_MODEL, "training_file": world.notes["file"]}
    await make(world, PATH, "job", json=body, headers=key("job"))


async def _job_waits(world: World) -> None:
    await checked_file(world)
    await post_job(world)


async def _queued(world: World) -> None:
    await _job_waits(world)
    await world.settle()


async def _gpu_worker(world: World) -> None:
    """Queue a job, and announce a worker that can train it."""
    await _queued(world)
    world.queues = ("cpu", "gpu")
    await world.restart_worker()


async def _dispatched(world: World) -> None:
    await _gpu_worker(world)
    await world.worker._dispatcher.dispatch()


async def _dispatch(world: World) -> None:
    await world.worker._dispatcher.dispatch()


async def _evaluated_job(world: World) -> None:
    """Train a job with held-out rows, whose evaluation waits."""
    await checked_file(world)
    body = {
        "model": BASE_MODEL,
        "training_file": world.notes["file"],
        "hyperparameters": {"validation_share": 0.25},
    }
    await make(world, PATH, "job", json=body)
    await world.settle()
    world.queues = ("cpu", "gpu")
    await world.restart_worker()
    await world.worker._dispatcher.dispatch()
    await world.work("gpu")


async def _act(world: World, action: str) -> None:
    await send(world, "POST", f"{PATH}/{world.notes['job']}/{action}")


async def _cancel(world: World) -> None:
    await _act(world, "cancel")


async def _pause(world: World) -> None:
    ScriptedTrainer.slow.add(world.notes["job"])
    await _act(world, "pause")


async def _resume(world: World) -> None:
    await _act(world, "resume")


async def _pause_and_resume(world: World) -> None:
    await _pause(world)
    await _resume(world)


async def _paused(world: World) -> None:
    await _queued(world)
    await _pause(world)


async def _evaluate_again(world: World) -> None:
    await _act(world, "evaluation")


async def _evaluation_ended(world: World) -> None:
    await _evaluated_job(world)
    await world.settle()


async def _evaluated(world: World) -> None:
    """Create a job, and store an evaluation of it with a report."""
    await _queued(world)
    state, job = world.app.state, world.notes["job"]
    await store_evaluation(state.evaluations, state.storage, world.notes["project"], job, "ft:x")


async def _label(world: World) -> None:
    body = {"compared": ["base", "tuned"], "winner": "tuned", "note": "Too short."}
    await send(world, "PUT", _label_path(world), json=body)


async def _labeled(world: World) -> None:
    await _evaluated(world)
    await _label(world)


async def _delete_label(world: World) -> None:
    await send(world, "DELETE", _label_path(world))


def _label_path(world: World) -> str:
    return f"{PATH}/{world.notes['job']}/evaluation/labels/1"


async def _no_labels(world: World) -> AsyncIterator[str]:
    answer = await world.http.get(f"{PATH}/{world.notes['job']}/evaluation/labels")
    if answer.json()["data"]:
        yield "the label is still there"


async def _number(world: World) -> int:
    return len(await listed(world, PATH))


def _is(*statuses: str) -> Check:
    async def check(world: World) -> AsyncIterator[str]:
        for job in await listed(world, PATH):
            if job["status"] not in statuses:
                yield f"the job is {job['status']}"

    return check


async def _lost_work(world: World) -> None:
    """Leave what the reconciler repairs: a killed training, a file that is in no queue, parts."""
    await _dispatched(world)
    await _killed(world, Gate({_MIDDLE: Fault.KILL}))
    await post_file(world, b'{"messages": []}', "bad.jsonl")
    world.notes["failed"] = True  # the check of that file
    await world.redis.delete("finetuned:queue:cpu", *await world.keys("arq:job:check_file:*"))
    await world.http.post("/v1/uploads", json=_UPLOAD)
    await world.pass_time()
    await world.worker._reconciler.once()
    await world.pass_time()


_UPLOAD = {
    "filename": "x.jsonl",
    "purpose": "fine-tune",
    "bytes": 10,
    "mime_type": "application/jsonl",
}


async def _killed(world: World, gate: Gate) -> None:
    await gate.run(world.work("gpu"))
    assert gate.killed.is_set(), "the training ended before it could be killed"
    world.graves.append(gate)
    await world.restart_worker()


async def _sample_rounds(world: World) -> None:
    """Publish the adapters of two rounds of a reinforcement training, as its attempt does."""
    train = world.worker._tasks.train
    with TemporaryDirectory() as folder, contextlib.suppress(*REDIS_ERRORS, StorageError):
        job = await train._jobs.get(world.notes["project"], world.notes["job"])
        assert job is not None
        policy = Policy(job, train._jobs.redis, train._resources.storage)
        for file, content in adapter().items():
            (Path(folder) / file).write_bytes(content)
        try:
            for _ in range(2):
                await policy.publish(Path(folder))
        finally:
            await policy.close()


async def _reconcile(world: World) -> None:
    with contextlib.suppress(*REDIS_ERRORS, StorageError):
        await world.worker._reconciler.once()


async def _canceled_job(world: World) -> None:
    await _queued(world)
    await _cancel(world)


async def _read_outbox(world: World) -> None:
    with contextlib.suppress(*REDIS_ERRORS):
        await outbox.process(world.redis, world.worker._event_readers)


JOBS = (
    requests(
        "createFineTuningJob",
        post_job,
        arrange=checked_file,
        acts={"delete": delete_file, "same-key": post_job},
        check=one(_number, "job"),
    ),
    Actor(
        "prepare-job",
        works("cpu"),
        _job_waits,
        acts={"delete": delete_file, "cancel": _cancel},
    ),
    requests(
        "cancelFineTuningJob", _cancel, arrange=_queued, check=both(answered(200), _is("cancelled"))
    ),
    requests(
        "pauseFineTuningJob", _pause, arrange=_queued, check=both(answered(200), _is("paused"))
    ),
    requests(
        "resumeFineTuningJob", _resume, arrange=_paused, check=both(answered(200), _is("queued"))
    ),
    requests(
        "putFineTuningJobEvaluationLabel",
        _label,
        arrange=_evaluated,
        acts={"delete": _delete_label, "label": _label},
        check=answered(200),
    ),
    requests(
        "deleteFineTuningJobEvaluationLabels",
        _delete_label,
        arrange=_labeled,
        check=both(answered(200, 404), _no_labels),
    ),
    Actor("dispatch", _dispatch, _gpu_worker, acts={"cancel": _cancel}),
    Actor("outbox", _read_outbox, _canceled_job),
)
TRAINING = (
    Actor(
        "train",
        works("gpu"),
        _dispatched,
        acts={
            "delete": delete_file,
            "cancel": _cancel,
            "pause": _pause,
            "pause-and-resume": _pause_and_resume,
        },
    ),
    requests("restartFineTuningJobEvaluation", _evaluate_again, arrange=_evaluation_ended),
    Actor("evaluate-job", works("evals"), _evaluated_job),
    Actor("sample-rounds", _sample_rounds, _queued, acts={"cancel": _cancel}),
    Actor("reconcile", _reconcile, _lost_work),
)
