"""Scenario of imports of adapters that were trained elsewhere."""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path

from service.models.adapter_check import BaseLayout
from tests.adapters import adapter
from tests.openapi.scenario.data import NO_FILE
from tests.openapi.scenario.files import Uploaded
from tests.openapi.world import World

_NO_IMPORT = "modelimport-" + "0" * 24


def packed(base: Path) -> bytes:
    """Return the archive of an adapter for the base model in a folder."""
    module = "model.layers.0.self_attn.q_proj"
    rows, columns = BaseLayout.read(base).shapes[f"{module}.weight"]
    shapes = {"lora_A": (8, columns), "lora_B": (rows, 8)}
    tensors = {f"base_model.model.{module}.{side}.weight": s for side, s in shapes.items()}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in adapter(tensors).items():
            info = tarfile.TarInfo(f"voice/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


async def create(world: World, made: Uploaded, base: Path, model: str) -> dict[str, str]:
    """Request an import while no worker runs. The project may have two tasks."""
    form = {"purpose": "model-import"}
    file = await world.call("createFile", form=form, file=("voice.tar.gz", packed(base)))
    body = {"file": file.json()["id"], "base_model": model}
    begun = await world.call(
        "createModelImport",
        "adapter",
        "Import an adapter under a name of your choice",
        headers={"idempotency-key": "import-voice-1"},
        json={**body, "suffix": "voice"},
    )
    key = {"idempotency-key": "import-voice-1"}
    await world.call("createModelImport", expect=409, headers=key, json=body)
    await world.call("createModelImport", expect=400, json={**body, "file": made.chats})
    await world.call("createModelImport", expect=404, json={**body, "base_model": "gpt-4o"})
    await world.call("createModelImport", json=body)
    await world.call("createModelImport", expect=429, json=body)
    return {"file_id": file.json()["id"], "import_id": begun.json()["id"]}


async def look(world: World, path: dict[str, str]) -> None:
    """Retrieve the results."""
    file = {"file_id": path["file_id"]}
    async with asyncio.timeout(60):
        while True:
            found = (await world.call("listModelImports", path=file)).json()["data"]
            if all(one["status"] != "in_progress" for one in found):
                break
            await asyncio.sleep(0.05)
    done = await world.call("retrieveModelImport", "completed", path=path)
    assert done.json()["status"] == "completed", done.text
    await world.call("retrieveModelImport", expect=404, path={**path, "import_id": _NO_IMPORT})
    await world.call("listModelImports", "two", path=file, query={"limit": 20})
    await world.call("listModelImports", expect=400, path=file, query={"after": "x"})
    await world.call("listModelImports", expect=404, path={"file_id": NO_FILE})
    for one in found:
        await world.call("getModel", path={"model": one["model"]})
        await world.call("deleteModel", path={"model": one["model"]})
