"""Sweeps that no worker trains, and one that has succeeded."""

from __future__ import annotations

from functools import partial

from service.jobs.records import JobRecord, Status
from service.jobs.sweeps.halving import advance
from service.jobs.sweeps.records import Sweeps
from tests.openapi.scenario.data import NO_FILE, NO_SWEEP
from tests.openapi.scenario.files import Uploaded
from tests.openapi.world import World

_CREATE, _RETRIEVE, _CANCEL = (
    "createSweep",
    "getSweep",
    "cancelSweep",
)


async def all_of(world: World, files: Uploaded, model: str, store: Sweeps, project_id: str) -> None:
    """Create the largest sweep that the queue has room for, cancel it, and finish another one."""
    chosen = {"n_epochs": 3, "validation_share": 0.1}
    body = {
        "model": model,
        "training_file": files.chats,
        "suffix": "bookshop",
        "seed": 42,
        "method": {"type": "supervised", "supervised": {"hyperparameters": chosen}},
        "values": {"learning_rate": [0.0002, 0.001]},
    }
    reused = {"idempotency-key": "sweep-bookshop-1"}
    made = await world.call(_CREATE, "created", "Two learning rates", headers=reused, json=body)
    path = {"id": made.json()["id"]}
    await world.call(_RETRIEVE, "in_progress", "Sweep whose trials are checked", path=path)
    await world.call("listSweeps", "newest", query={"limit": 20})
    await world.call("listSweeps", expect=400, query={"after": NO_SWEEP})
    await world.call(_CREATE, expect=429, json=body)
    await world.call(_CREATE, expect=409, headers=reused, json={**body, "seed": 1})
    await world.call(_CREATE, expect=400, json={**body, "values": {"learning_rate": [0.001]}})
    unmeasured = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}
    await world.call(_CREATE, expect=400, json={**body, "method": unmeasured})
    await world.call(_CREATE, expect=404, json={**body, "training_file": NO_FILE})
    await world.call(_CREATE, expect=404, json={**body, "model": "gpt-4o"})
    await world.call("deleteSweep", expect=409, path=path)
    await world.call(_CANCEL, "cancelled", "Cancelled sweep", path=path)
    await world.call(_RETRIEVE, path=path, query={"wait": 31}, expect=400)
    await world.call("deleteSweep", "deleted", "Deleted sweep", path=path)
    again = await world.call(_CREATE, json=body)
    ended = {"id": again.json()["id"]}
    await _finish(store, project_id, ended["id"])
    await world.call(_RETRIEVE, "completed", "Sweep that stopped one of two trials", path=ended)
    await world.call(_CANCEL, expect=409, path=ended)
    for operation in (_RETRIEVE, _CANCEL, "deleteSweep"):
        await world.call(operation, expect=404, path={"id": NO_SWEEP})


async def _finish(store: Sweeps, project_id: str, sweep_id: str) -> None:
    """Write what workers would: the first trial waits with a higher loss than the second one."""
    record = await store.get(project_id, sweep_id)
    assert record is not None
    loser, winner = (trial.job_id for trial in record.trials)
    for job_id, loss in ((loser, 1.9304), (winner, 1.7134)):
        await store.jobs.records.update(project_id, job_id, partial(_waiting, loss))
    await advance(store, project_id, sweep_id)
    await store.jobs.records.update(
        project_id,
        winner,
        lambda job: job.model_copy(
            update={
                "status": Status.SUCCEEDED,
                "fine_tuned_model": f"ft:{job.model}:acme:bookshop:{job.model_tag}",
            }
        ),
    )
    await advance(store, project_id, sweep_id)


def _waiting(loss: float, job: JobRecord) -> JobRecord:
    waiting = {"status": Status.PAUSED, "waits_for_sweep": True, "held_out_loss": loss}
    return job.model_copy(update=waiting)
