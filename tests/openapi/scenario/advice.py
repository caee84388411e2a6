"""Advice that no worker has worked out yet."""

from __future__ import annotations

from service.jobs.advice.records import MAX_UNFINISHED
from tests.openapi.scenario.data import NO_ADVICE, NO_FILE
from tests.openapi.scenario.files import Uploaded
from tests.openapi.world import World

_CREATE, _RETRIEVE, _DELETE = (
    "createTrainingAdvice",
    "getTrainingAdvice",
    "deleteTrainingAdvice",
)


async def early(world: World, files: Uploaded, model: str) -> None:
    """Ask before the file is checked."""
    await world.call(_CREATE, expect=409, json={"model": model, "training_file_id": files.chats})


async def ask(world: World, files: Uploaded, served: str, unserved: str) -> None:
    """Ask for advice, and delete it again. No worker runs."""
    body = {"model": served, "training_file_id": files.chats}
    made = await world.call(_CREATE, "asked", "Advice on a training file", json=body)
    path = {"id": made.json()["id"]}
    await world.call(_RETRIEVE, "queued", "Queued advice", path=path)
    await world.call(_CREATE, expect=503, json={**body, "model": unserved})
    await world.call(_CREATE, expect=400, json={"model": served})
    await world.call(_CREATE, expect=400, json={**body, "training_file_id": files.broken})
    await world.call(_CREATE, expect=404, json={**body, "model": "gpt-4o"})
    await world.call(_CREATE, expect=404, json={**body, "training_file_id": NO_FILE})
    reused = {"idempotency-key": "advise-bookshop-1"}
    advice = [await world.call(_CREATE, headers=reused, json=body)]
    await world.call(
        _CREATE, expect=409, headers=reused, json={**body, "training_file_id": NO_FILE}
    )
    advice += [await world.call(_CREATE, json=body) for _ in range(MAX_UNFINISHED - 2)]
    await world.call(_CREATE, expect=429, json=body)
    await world.call(_DELETE, "deleted", path=path)
    other = {"id": advice[0].json()["id"]}
    await world.call("cancelTrainingAdvice", "cancelled", "Cancelled advice", path=other)
    await world.call(_RETRIEVE, path=other, query={"wait": 31}, expect=400)
    await world.call("listTrainingAdvice", "list", query={"limit": 2, "status": "queued"})
    await world.call("listTrainingAdvice", expect=400, query={"after": NO_ADVICE})
    for one in advice:
        await world.call(_DELETE, path={"id": one.json()["id"]})
    for operation in (_RETRIEVE, "cancelTrainingAdvice", _DELETE):
        await world.call(operation, expect=404, path={"id": NO_ADVICE})
