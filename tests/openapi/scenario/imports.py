"""Scenario of imports of adapters that were trained elsewhere."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from service.models.adapter_check import BaseLayout
from tests.adapters import adapter
from tests.openapi.scenario import data_sets
from tests.openapi.scenario.files import Uploaded
from tests.openapi.world import World


def adapter_of(base: Path) -> dict[str, bytes]:
    """Return the files of an adapter for the base model in a folder."""
    module = "model.layers.0.self_attn.q_proj"
    rows, columns = BaseLayout.read(base).shapes[f"{module}.weight"]
    shapes = {"lora_A": (8, columns), "lora_B": (rows, 8)}
    tensors = {f"base_model.model.{module}.{side}.weight": s for side, s in shapes.items()}
    return adapter(tensors)


def packed(base: Path) -> bytes:
    """Return the archive of an adapter for the base model in a folder."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in adapter_of(base).items():
            info = tarfile.TarInfo(f"voice/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


async def create(world: World, made: Uploaded, base: Path, model: str) -> str:
    """Request an import while no worker runs. The project may have two tasks."""
    form = {"purpose": "model-import"}
    file = await world.call("createFile", form=form, file=("voice.tar.gz", packed(base)))
    body = {"file_id": file.json()["id"], "base_model": model}
    key = {"idempotency-key": "import-voice-1"}
    begun = await world.call(
        "createModelImport",
        "adapter",
        "Import an adapter under a name of your choice",
        headers=key,
        json={**body, "suffix": "voice"},
    )
    await world.call("createModelImport", expect=409, headers=key, json=body)
    await world.call("createModelImport", expect=400, json={**body, "file_id": made.chats})
    await world.call("createModelImport", expect=404, json={**body, "base_model": "gpt-4o"})
    path = {"id": begun.json()["id"]}
    await world.call("getModelImport", "queued", "Import in the queue", path=path)
    await data_sets.cancel(world, "ModelImport", body)
    extra = {"id": (await world.call("createModelImport", json=body)).json()["id"]}
    await world.call("createModelImport", expect=429, json=body)
    # Lists then have one import, whichever would end first.
    await world.call("cancelModelImport", path=extra)
    await world.call("deleteModelImport", path=extra)
    return path["id"]


async def look(world: World, import_id: str) -> None:
    """Retrieve the results."""
    done = await data_sets.ended(world, "ModelImport", import_id)
    await data_sets.look_at(world, "ModelImport", import_id, "Completed import")
    found = (await world.call("listModelImports", query={"file_id": done["file_id"]})).json()
    for one in found["data"]:
        other = await data_sets.ended(world, "ModelImport", one["id"])
        path = {"model": other["result"]["model"]}
        await world.call("getModel", path=path)
        await world.call("deleteModel", path=path)
